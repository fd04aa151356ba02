//! TLS, with a certificate made for these tests alone.

use flotilla_beacon::server::Tls;
use reqwest::{Certificate, Client};

use super::setup::{Setup, limits};
use crate::upstream::{Reply, Server};

const CERTIFICATE: &[u8] = include_bytes!("tls/certificate.pem");

#[tokio::test]
async fn with_a_certificate_the_server_speaks_tls_only() {
    let tls = Tls {
        certificates: CERTIFICATE.to_vec(),
        key: include_bytes!("tls/key.pem").to_vec(),
    };
    let upstream = Server::always(Reply::json(200, "{}")).await;
    let setup = Setup::before(vec![upstream], limits(), Some(tls)).await;
    let root = Certificate::from_pem(CERTIFICATE).unwrap();
    let client = Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .build()
        .unwrap();
    for path in ["/eth/v1/node/version", "/eth/v1/config/spec"] {
        let url = format!("https://{}{path}", setup.address);
        let response = client.get(url).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert!(setup.get("/eth/v1/node/version").send().await.is_err());
}

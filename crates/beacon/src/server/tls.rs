//! TLS of the server, and what can be wrong with its files.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;

use super::config::Tls;

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or none of this machine's.
    #[error("validator API: cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// The certificate file has another form.
    #[error(
        "validator API: TLS certificate: {0}; expected a PEM file with at least one certificate"
    )]
    Certificate(String),
    /// The key file has another form.
    #[error("validator API: TLS key: {0}; expected a PEM file with a private key")]
    Key(String),
    /// Certificate and key do not go together, or are of an unknown kind.
    #[error("validator API: TLS certificate and key: {0}")]
    Pair(String),
}

/// Accepts TLS connections with a certificate. Needs no provider of the process.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ServeError> {
    let certificates = CertificateDer::pem_slice_iter(&tls.certificates)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ServeError::Certificate(error.to_string()))?;
    if certificates.is_empty() {
        return Err(ServeError::Certificate("no certificate found".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&tls.key)
        .map_err(|error| ServeError::Key(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let builder = builder.with_no_client_auth();
            builder.with_single_cert(certificates, key)
        })
        .map_err(|error| ServeError::Pair(error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_another_form_are_told_apart() {
        let of = |certificates: &[u8]| {
            acceptor(&Tls {
                certificates: certificates.to_vec(),
                key: Vec::new(),
            })
        };
        assert!(matches!(of(b"nonsense"), Err(ServeError::Certificate(_))));
        let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(of(pem), Err(ServeError::Key(_))));
    }
}

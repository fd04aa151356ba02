//! A cluster definition from a URL, as launchpads hand them out.

use std::time::Duration;

use super::http::{Address, RemoteError, client, exchange, successful};

/// Longest wait for the whole file (spec of the field: 10 s).
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest file read (spec of the field: 16 MiB).
const LIMIT_BYTES: usize = 16 << 20;

/// Whether a `--definition-file` is a URL rather than a path.
pub fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Fetches the bytes of a definition; what they say is not checked here.
///
/// # Errors
/// Not a success within 10 s and 16 MiB; more than three redirects, or one from https to http.
pub async fn fetch_definition(url: &str) -> Result<Vec<u8>, RemoteError> {
    fetch(url, TIMEOUT).await
}

async fn fetch(url: &str, timeout: Duration) -> Result<Vec<u8>, RemoteError> {
    let address = Address::parse(url)?;
    let request = client()?
        .get(address.url().clone())
        .header("Accept", "application/json");
    let answer = exchange(&address, request, LIMIT_BYTES, timeout).await?;
    successful(&address, answer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::http::StatusCode;
    use axum::response::Redirect;
    use axum::routing::get;
    use futures::stream;

    use super::super::testing::serve;
    use super::*;

    fn endless() -> Body {
        Body::from_stream(stream::repeat_with(|| {
            Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1 << 16]))
        }))
    }

    async fn server() -> String {
        let router = Router::new()
            .route("/good", get(|| async { "{}" }))
            .route("/moved", get(|| async { Redirect::temporary("/good") }))
            .route("/circle", get(|| async { Redirect::temporary("/circle") }))
            .route(
                "/missing",
                get(|| async { (StatusCode::NOT_FOUND, "no such definition") }),
            )
            .route("/endless", get(|| async { endless() }))
            .route("/slow", get(std::future::pending::<String>));
        serve(router).await
    }

    #[tokio::test]
    async fn a_file_is_fetched_and_a_move_followed() {
        let server = server().await;
        for path in ["good", "moved"] {
            let body = fetch_definition(&format!("{server}/{path}")).await.unwrap();
            assert_eq!(body, b"{}");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_an_address_is_told_without_its_password() {
        let server = server().await;
        for (path, expected) in [
            ("circle", "more than 3 redirects"),
            ("missing", "answered 404 Not Found: no such definition"),
            ("endless", "sent more than 16777216 bytes"),
        ] {
            let url = format!("{server}/{path}").replace("http://", "http://user:secret@");
            let error = fetch_definition(&url).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let error = fetch_definition("ftp://example.org/x").await.unwrap_err();
        assert!(matches!(error, RemoteError::Address { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let url = format!("{}/slow", server().await);
        let error = fetch(&url, Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(error, RemoteError::Timeout { .. }), "{error}");
    }
}

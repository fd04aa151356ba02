//! A server for tests.

use axum::Router;

/// Serves on a free port until the test's runtime ends; returns the address.
#[allow(clippy::unwrap_used)]
pub(super) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

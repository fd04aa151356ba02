//! Errors as the Beacon API words them.

use axum::Json;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An error response: a status and `{"code", "message"}`, with `failures` for lists that were accepted in part.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
    failures: Option<Value>,
}

impl ApiError {
    /// The request is at fault.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        ApiError {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            failures: None,
        }
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        ApiError {
            status: StatusCode::NOT_FOUND,
            message: message.into(),
            failures: None,
        }
    }

    /// Some items of a list were refused, each named by its position.
    pub(crate) fn failures(failures: &[(usize, String)]) -> Self {
        let list = failures
            .iter()
            .map(|(index, message)| json!({ "index": index, "message": message }))
            .collect();
        ApiError {
            failures: Some(list),
            ..Self::bad_request("some attestations were refused")
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({ "code": self.status.as_u16(), "message": self.message });
        if let Some(failures) = self.failures {
            body["failures"] = failures;
        }
        (self.status, Json(body)).into_response()
    }
}

/// Answers paths that are not served.
pub(crate) async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!(
        "{} is not served by the testnet's beacon node",
        uri.path()
    ))
}

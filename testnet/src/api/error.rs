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
        Self::with_status(StatusCode::BAD_REQUEST, message)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::with_status(StatusCode::NOT_FOUND, message)
    }

    /// The body is of a media type that is not taken here.
    pub(crate) fn unsupported_media(message: impl Into<String>) -> Self {
        Self::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// The beacon node is at fault.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::with_status(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The beacon node does not do that.
    pub(crate) fn not_implemented(message: impl Into<String>) -> Self {
        Self::with_status(StatusCode::NOT_IMPLEMENTED, message)
    }

    fn with_status(status: StatusCode, message: impl Into<String>) -> Self {
        ApiError {
            status,
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
            ..Self::bad_request("some items were refused")
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

/// Answers the selections of distributed validators, which only a middleware can join.
pub(crate) async fn selections() -> ApiError {
    ApiError::not_implemented("selections are joined by a distributed validator's middleware")
}

/// Answers paths that are not served.
pub(crate) async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!(
        "{} is not served by the testnet's beacon node",
        uri.path()
    ))
}

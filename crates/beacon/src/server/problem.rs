//! What is answered when something is wrong.

use hyper::StatusCode;
use serde::Serialize;

use super::api::{ApiError, ItemFailure};

/// What every error of an unknown kind says; the reason is logged.
const INTERNAL: &str = "Internal server error";
/// What is said when a client left, or waited too long.
pub(super) const CANCELLED: &str = "client cancelled request";

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) failures: Vec<ItemFailure>,
    /// What the log says beyond the message.
    pub(super) detail: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            failures: Vec::new(),
            detail: None,
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound")
    }

    pub(super) fn unsupported() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Cannot read the supplied content type.",
        )
    }

    pub(super) fn cancelled() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, CANCELLED)
    }

    pub(super) fn internal(detail: impl ToString) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL).because(detail)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// Some items of a list failed.
    pub(super) fn of_items(failures: Vec<ItemFailure>) -> Self {
        Self {
            failures,
            ..Self::bad_request("some items were not accepted, see failures")
        }
    }

    /// Adds what only the log says.
    pub(super) fn because(self, detail: impl ToString) -> Self {
        Self {
            detail: Some(detail.to_string()),
            ..self
        }
    }

    /// The body: code, message, and the failed items if there are any.
    pub(super) fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Layout<'a> {
            code: u16,
            message: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            failures: &'a [ItemFailure],
        }
        let layout = Layout {
            code: self.status.as_u16(),
            message: &self.message,
            failures: &self.failures,
        };
        serde_json::to_vec(&layout).expect("text and numbers have a JSON form")
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Invalid(text) => Self::bad_request(text),
            ApiError::NotFound(text) => Self::new(StatusCode::NOT_FOUND, text),
            ApiError::Late(text) => Self::new(StatusCode::REQUEST_TIMEOUT, text),
            ApiError::Unavailable(text) => Self::unavailable(text),
            ApiError::Internal(text) => Self::internal(text),
        }
    }
}

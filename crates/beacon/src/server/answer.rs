//! Successful answers, in JSON or SSZ.

use bytes::Bytes;
use flotilla_types::Fork;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;

use super::problem::Problem;

/// The header that names the fork of a body.
pub(super) const CONSENSUS_VERSION: HeaderName = HeaderName::from_static("eth-consensus-version");
/// JSON. At least one client compares the whole value, so nothing is added.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// SSZ.
pub(super) const SSZ: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// An answer whose body is complete.
pub(super) type Answer = Response<Bytes>;

/// The envelope of most answers.
#[derive(Serialize)]
pub(super) struct Data<T> {
    pub(super) data: T,
}

/// A value in JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Answer, Problem> {
    let body = serde_json::to_vec(value).map_err(Problem::internal)?;
    Ok(typed(StatusCode::OK, JSON, body))
}

/// A value in SSZ.
pub(super) fn ssz(body: Vec<u8>) -> Answer {
    typed(StatusCode::OK, SSZ, body)
}

/// Success with nothing to say.
pub(super) fn empty() -> Answer {
    Response::new(Bytes::new())
}

/// Names the fork of the body.
pub(super) fn of_fork(mut answer: Answer, fork: Fork) -> Answer {
    let name = HeaderValue::from_static(fork.name());
    answer.headers_mut().insert(CONSENSUS_VERSION, name);
    answer
}

/// An error.
pub(super) fn problem(problem: &Problem) -> Answer {
    typed(problem.status, JSON, problem.body())
}

fn typed(status: StatusCode, content_type: HeaderValue, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

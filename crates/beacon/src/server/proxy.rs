//! Passes on to the beacon nodes what the server has no word about.

use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use tokio::time::timeout;

use super::{
    api::ValidatorApi,
    dispatch::Context,
    idle::Idle,
    problem::Problem,
    report::{AnyBody, BodyError},
    request::read,
};
use crate::client::RawRequest;

/// Most bytes of a request's body: a block of an endpoint that is newer than we are.
const BODY: usize = 20 << 20;
/// The path of event streams.
const EVENTS: &str = "/eth/v1/events";

/// Whether a request asks for events.
pub(super) fn is_events(method: &Method, path: &str) -> bool {
    *method == Method::GET && path == EVENTS
}

/// Passes a request on. The answer's head has to come within the deadline, except that of events; its body takes its
/// time, as long as something comes.
pub(super) async fn pass<A: ValidatorApi>(
    context: &Context<A>,
    request: Request<Incoming>,
) -> Result<Response<AnyBody>, Problem> {
    let limits = &context.config.limits;
    let patient = is_events(request.method(), request.uri().path());
    if patient {
        let answer = forward(context, request, patient).await?;
        return Ok(answer.map(|body| body.map_err(BodyError::from).boxed_unsync()));
    }
    let answer = timeout(limits.deadline, forward(context, request, patient));
    let answer = answer.await.unwrap_or_else(|_| Err(Problem::cancelled()))?;
    Ok(answer.map(|body| Idle::new(body, limits.idle).boxed_unsync()))
}

async fn forward<A: ValidatorApi>(
    context: &Context<A>,
    request: Request<Incoming>,
    patient: bool,
) -> Result<crate::client::Forwarded, Problem> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query();
    let request = RawRequest {
        path: path.map_or_else(String::new, |path| path.as_str().to_owned()),
        method: parts.method,
        headers: parts.headers,
        body: read(body, BODY).await?,
        patient,
    };
    let answer = context.forwarder.forward(request).await;
    answer.map_err(|error| Problem::new(StatusCode::BAD_GATEWAY, error.to_string()))
}

//! What the judges said, as answers.

use super::Endpoint;
use super::error::ApiError;
use crate::chain::Judgement;
use flotilla_types::DutyKind;

/// 200 if all items were taken, now or before; else 400 with those that were not.
pub(crate) fn answer(judgements: Vec<Judgement>) -> Result<(), ApiError> {
    let failures: Vec<_> = judgements
        .iter()
        .enumerate()
        .filter_map(|(index, judgement)| match judgement {
            Judgement::Refused(fault) => Some((index, fault.to_string())),
            Judgement::Included | Judgement::Late | Judgement::Duplicate => None,
        })
        .collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(ApiError::failures(&failures))
    }
}

impl Endpoint {
    /// Counts a body that could not be read as a refusal.
    pub(crate) fn counted<T>(
        &self,
        kind: DutyKind,
        parsed: Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        if parsed.is_err() {
            self.simulator.reject(kind, "unreadable body");
        }
        parsed
    }
}

//! Which encoding a client wants: the `Accept` header with its weights (RFC 9110, section 12.5.1).

use hyper::header::{ACCEPT, HeaderMap};

/// Whether SSZ is wanted rather than JSON. Without a word about either it is JSON, which every client reads; so it is if
/// neither is wanted, since an answer of the wrong type is of more use than none.
pub(super) fn prefers_ssz(headers: &HeaderMap) -> bool {
    let (mut ssz, mut json) = (None, None);
    let values = headers.get_all(ACCEPT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    for range in texts.flat_map(|text| text.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let place = match parts
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "application/octet-stream" => &mut ssz,
            "application/json" => &mut json,
            _ => continue,
        };
        *place = Some(parts.find_map(weight).unwrap_or(1.0));
    }
    match (ssz, json) {
        (Some(ssz), Some(json)) => ssz > json,
        (Some(ssz), None) => ssz > 0.0,
        (None, _) => false,
    }
}

fn weight(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    let is_weight = name.trim().eq_ignore_ascii_case("q");
    is_weight.then(|| value.trim().parse().unwrap_or(0.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide_and_json_wins_a_tie() {
        let prefers = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, value.parse().unwrap());
            prefers_ssz(&headers)
        };
        assert!(prefers(
            "application/octet-stream;q=0.9, application/json;q=0.4"
        ));
        assert!(prefers(
            "application/json;q=0.9,application/octet-stream;q=1.0"
        ));
        assert!(prefers("Application/Octet-Stream"));
        assert!(!prefers("application/json, application/octet-stream"));
        assert!(!prefers("application/octet-stream;q=0"));
        assert!(!prefers("application/octet-stream;q=nonsense"));
        assert!(!prefers("*/*"));
        assert!(!prefers_ssz(&HeaderMap::new()));
    }
}

//! What a client says of itself and of its request, as metrics show it.

use hyper::header::{CONTENT_TYPE, HeaderMap, USER_AGENT};

/// Most bytes of a client's name.
const LENGTH: usize = 128;
/// Most bytes of a content type.
const TYPE_LENGTH: usize = 64;

/// The `User-Agent`, cut, without what is not UTF-8.
pub(super) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let bytes = headers.get(USER_AGENT)?.as_bytes();
    let chunks = bytes[..bytes.len().min(LENGTH)].utf8_chunks();
    Some(chunks.map(|chunk| chunk.valid()).collect())
}

/// The `Content-Type` of the body, without parameters.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let name = text.split(';').next().unwrap_or_default().trim();
    Some(
        name.chars()
            .take(TYPE_LENGTH)
            .collect::<String>()
            .to_ascii_lowercase(),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_content_type_has_no_parameters() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("Application/JSON; charset=utf-8"),
        );
        assert_eq!(content_type(&headers).unwrap(), "application/json");
    }

    #[test]
    fn a_name_is_cut_and_cleaned() {
        let of = |bytes: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, HeaderValue::from_bytes(bytes).unwrap());
            user_agent(&headers).unwrap()
        };
        assert_eq!(of(b"Lighthouse/v8.1.0\xff-x"), "Lighthouse/v8.1.0-x");
        assert_eq!(of(&[b'a'; 200]).len(), 128);
        assert_eq!(of(&[b"a".repeat(127), "é".into()].concat()).len(), 127);
        assert_eq!(user_agent(&HeaderMap::new()), None);
    }
}

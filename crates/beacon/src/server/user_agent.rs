//! The client's name as metrics show it.

use hyper::header::{HeaderMap, USER_AGENT};

/// Most bytes of a name.
const LENGTH: usize = 128;

/// The `User-Agent`, cut, without what is not UTF-8.
pub(super) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let bytes = headers.get(USER_AGENT)?.as_bytes();
    let chunks = bytes[..bytes.len().min(LENGTH)].utf8_chunks();
    Some(chunks.map(|chunk| chunk.valid()).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn it_is_cut_and_cleaned() {
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

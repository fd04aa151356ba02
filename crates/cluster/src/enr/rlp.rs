//! As much of RLP as records need: one list of byte strings.

/// Longest string or list with a one-byte header.
const SHORT: usize = 55;
const STRING: u8 = 0x80;
const LIST: u8 = 0xc0;

/// Encodes byte strings as one list.
pub(super) fn encode_list<'a>(items: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for item in items {
        // A small byte stands for itself.
        if !matches!(item, [byte] if *byte < STRING) {
            append_header(&mut body, STRING, item.len());
        }
        body.extend_from_slice(item);
    }
    let mut list = Vec::with_capacity(body.len() + 9);
    append_header(&mut list, LIST, body.len());
    list.extend(body);
    list
}

fn append_header(out: &mut Vec<u8>, kind: u8, length: usize) {
    if let Some(short) = u8::try_from(length).ok().filter(|_| length <= SHORT) {
        out.push(kind + short);
        return;
    }
    let bytes = length.to_be_bytes();
    let significant = &bytes[length.leading_zeros() as usize / 8..];
    out.push(kind + SHORT as u8 + significant.len() as u8);
    out.extend_from_slice(significant);
}

/// Decodes a list of byte strings; what follows the list is ignored. `None` if it is anything else.
pub(super) fn decode_list(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut body, _) = take(bytes, LIST)?;
    let mut items = Vec::new();
    while let Some(first) = body.first() {
        let (item, rest) = if *first < STRING {
            body.split_at(1)
        } else {
            take(body, STRING)?
        };
        items.push(item);
        body = rest;
    }
    Some(items)
}

/// Content and rest of the item of `kind` at the start of `bytes`.
fn take(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let code = usize::from(first.checked_sub(kind)?);
    // String codes end where list codes begin: 64 of each.
    if code > SHORT + 8 {
        return None;
    }
    let Some(length_bytes) = code.checked_sub(SHORT).filter(|count| *count > 0) else {
        return rest.split_at_checked(code);
    };
    let (length, rest) = rest.split_at_checked(length_bytes)?;
    let length = length.iter().try_fold(0usize, |length, byte| {
        length.checked_mul(256)?.checked_add(usize::from(*byte))
    })?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_encodings() {
        assert_eq!(
            encode_list([b"cat".as_slice(), b"dog"]),
            b"\xc8\x83cat\x83dog"
        );
        assert_eq!(
            encode_list([b"".as_slice(), b"\x7f", b"\x80"]),
            b"\xc4\x80\x7f\x81\x80"
        );
        let long = encode_list([[7; 56].as_slice()]);
        assert_eq!(long[..4], [0xf8, 58, 0xb8, 56]);
    }

    #[test]
    fn nested_lists_and_short_input_are_refused() {
        for bytes in [
            &b"\xc1\xc0"[..],
            b"",
            b"\x83cat",
            b"\xc2\x81",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xf8",
        ] {
            assert_eq!(decode_list(bytes), None, "{bytes:?}");
        }
        assert_eq!(decode_list(b"\xc0trailing").unwrap(), Vec::<&[u8]>::new());
    }

    proptest! {
        #[test]
        fn lists_read_back(items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..10)) {
            let bytes = encode_list(items.iter().map(Vec::as_slice));
            prop_assert_eq!(decode_list(&bytes).unwrap(), items);
        }

        #[test]
        fn decode_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode_list(&bytes);
        }
    }
}

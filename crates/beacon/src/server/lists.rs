//! Lists of items in a request's body, in JSON or SSZ.

use std::fmt::Display;

use serde_json::Value;

use super::{
    problem::Problem,
    request::{Asked, Encoding, parse, unparsed},
};

/// Bytes of an offset.
const OFFSET: usize = 4;

/// How a list in SSZ is cut into its items.
#[derive(Clone, Copy, Debug)]
pub(super) enum Split {
    /// Every item has so many bytes.
    Every(usize),
    /// Offsets come first.
    ByOffsets,
}

/// Reads a list in the encoding that the client chose. One item of another form makes the whole list unreadable.
pub(super) fn list<T, S: Display, J: Display>(
    asked: &Asked,
    split: Split,
    of_ssz: impl Fn(&[u8]) -> Result<T, S>,
    of_json: impl Fn(&Value) -> Result<T, J>,
) -> Result<Vec<T>, Problem> {
    match asked.encoding()? {
        Encoding::Json => {
            let values: Vec<Value> = parse(asked.body()?)?;
            let items = values.iter().map(|value| of_json(value).map_err(unparsed));
            items.collect()
        }
        Encoding::Ssz => {
            let items = split.items(&asked.body).ok_or_else(Problem::unsupported)?;
            let read = |item| of_ssz(item).map_err(|error| Problem::unsupported().because(error));
            items.into_iter().map(read).collect()
        }
    }
}

impl Split {
    fn items(self, bytes: &[u8]) -> Option<Vec<&[u8]>> {
        match self {
            Self::Every(size) => {
                let items = bytes.chunks_exact(size);
                items.remainder().is_empty().then(|| items.collect())
            }
            Self::ByOffsets => by_offsets(bytes),
        }
    }
}

/// The first offset tells how many there are; they ascend, and the last item ends with the list.
fn by_offsets(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let offset = |at: usize| {
        let word = bytes.get(at..)?.first_chunk::<OFFSET>()?;
        usize::try_from(u32::from_le_bytes(*word)).ok()
    };
    let first = offset(0)?;
    if first == 0 || !first.is_multiple_of(OFFSET) || first > bytes.len() {
        return None;
    }
    let mut items = Vec::with_capacity(first / OFFSET);
    for at in (0..first).step_by(OFFSET) {
        let end = match at + OFFSET < first {
            true => offset(at + OFFSET)?,
            false => bytes.len(),
        };
        items.push(bytes.get(offset(at)?..end)?);
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_cut_within_themselves_or_not_at_all(bytes: Vec<u8>, first in 0_u32..64) {
            let bytes = [&first.to_le_bytes()[..], &bytes].concat();
            if let Some(items) = by_offsets(&bytes) {
                let whole: usize = items.iter().map(|item| item.len()).sum();
                prop_assert_eq!(whole + items.len() * OFFSET, bytes.len());
            }
        }
    }

    #[test]
    fn items_of_one_size_leave_nothing_over() {
        assert_eq!(
            Split::Every(2).items(b"aabb"),
            Some(vec![&b"aa"[..], b"bb"])
        );
        assert_eq!(Split::Every(2).items(b"aab"), None);
        assert_eq!(Split::Every(2).items(b""), Some(Vec::new()));
    }

    #[test]
    fn offsets_cut_a_list_and_impossible_ones_do_not() {
        let list = |offsets: &[u32], rest: &[u8]| {
            let words = offsets.iter().flat_map(|offset| offset.to_le_bytes());
            words.chain(rest.iter().copied()).collect::<Vec<u8>>()
        };
        let good = list(&[8, 9], b"abb");
        assert_eq!(by_offsets(&good), Some(vec![&b"a"[..], b"bb"]));
        assert_eq!(by_offsets(b""), Some(Vec::new()));
        for bad in [
            list(&[0], b""),
            list(&[5], b"ab"),
            list(&[8], b"ab"),
            list(&[8, 7], b"abb"),
            list(&[8, 99], b"abb"),
            list(&[u32::MAX], b""),
            b"ab".to_vec(),
        ] {
            assert_eq!(by_offsets(&bad), None, "{bad:?}");
        }
    }
}

//! The SSZ form of lists whose items have no fixed size: offsets first, then the items.

/// Puts encoded items together.
pub(super) fn variable(items: &[Vec<u8>]) -> Vec<u8> {
    const OFFSET: usize = 4;
    let mut bytes = Vec::new();
    let mut end = items.len() * OFFSET;
    for item in items {
        // A client's own lists are far below 4 GiB.
        bytes.extend_from_slice(&(end as u32).to_le_bytes());
        end += item.len();
    }
    bytes.extend(items.iter().flatten());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_from_the_start_of_the_list() {
        assert_eq!(variable(&[]), Vec::<u8>::new());
        let list = variable(&[vec![1, 2], vec![3]]);
        assert_eq!(list, [8, 0, 0, 0, 10, 0, 0, 0, 1, 2, 3]);
    }
}

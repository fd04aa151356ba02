//! The validators' own signatures, checked a chunk at a time.

use std::collections::BTreeSet;

use flotilla_crypto::batch::{CLAIMS_AT_ONCE, Claim, find_false_claims};

use super::progress::Tracker;

/// The names of those claims that are not true. `None` is one: a key or signature that is no point.
///
/// Claims are decoded as they are drawn from the iterator, so memory holds one chunk of them.
pub(super) fn find_false<K: Copy + Ord>(
    mut claims: impl Iterator<Item = (K, Option<Claim>)>,
    tracker: &mut Tracker<'_>,
) -> BTreeSet<K> {
    let mut found = BTreeSet::new();
    loop {
        let chunk: Vec<(K, Option<Claim>)> = claims.by_ref().take(CLAIMS_AT_ONCE).collect();
        if chunk.is_empty() {
            return found;
        }
        let (names, points): (Vec<K>, Vec<Claim>) = chunk
            .iter()
            .filter_map(|(name, claim)| Some((*name, (*claim)?)))
            .unzip();
        let false_ones = find_false_claims(&points);
        found.extend(false_ones.into_iter().map(|position| names[position]));
        let no_points = chunk.iter().filter(|(_, claim)| claim.is_none());
        found.extend(no_points.map(|(name, _)| *name));
        tracker.advance(chunk.len());
    }
}

//! What is signed once for the life of a network: deposits and registrations. Their domain has the
//! genesis fork version and a zero genesis validators root, so that they hold before genesis and
//! across forks.

use flotilla_types::{Domain, DomainType, ForkVersion, Root};

/// The 32 bytes to sign for an object with this root.
pub(crate) fn genesis_signing_root(
    object_root: [u8; 32],
    domain_type: DomainType,
    genesis_fork_version: ForkVersion,
) -> [u8; 32] {
    let domain = Domain::compute(domain_type, genesis_fork_version, Root::default());
    flotilla_types::signing_root(Root(object_root), domain).0
}

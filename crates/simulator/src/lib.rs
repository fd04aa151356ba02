//! Many nodes on virtual time from one seed

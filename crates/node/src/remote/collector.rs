//! A server that collects what operators sign one by one (the field's Obol API, part 50 §2). It may be anybody's: what comes back is
//! verified by whoever asked.

use std::time::Duration;

use flotilla_cluster::collect::deposit::{CollectedDeposits, PartialDeposits};
use flotilla_cluster::collect::exit::{CollectedExit, PartialExits};
use flotilla_cluster::collect::registration::{
    CollectedRegistrations, PartialRegistrations, RegistrationQuery,
};
use flotilla_types::PublicKeyBytes;
use reqwest::{Client, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::http::{Address, RemoteError, accepted, client, exchange, not_understood, successful};

/// Largest answer read.
const LIMIT_BYTES: usize = 64 << 20;
/// What the server says with status 404 when nobody has signed a registration yet.
const NO_REGISTRATIONS: &str = "no partial registrations found";

/// The part of a server that is about one cluster.
#[derive(Clone, Debug)]
pub struct Collector {
    address: Address,
    client: Client,
    timeout: Duration,
    lock_hash: String,
}

impl Collector {
    /// The server at `address`, for the cluster with this lock hash.
    ///
    /// # Errors
    /// The address is not one of http or https.
    pub fn new(address: &str, timeout: Duration, lock_hash: &[u8]) -> Result<Self, RemoteError> {
        Ok(Self {
            address: Address::parse(address)?,
            client: client()?,
            timeout,
            lock_hash: format!("0x{}", hex::encode(lock_hash)),
        })
    }

    /// Posts exits signed with a share.
    ///
    /// # Errors
    /// They were not taken. Those that are there already are a success.
    pub async fn post_exits(&self, exits: &PartialExits) -> Result<(), RemoteError> {
        let path = format!("/exp/partial_exits/{}", self.lock_hash);
        self.post(&path, exits).await.map(|_| ())
    }

    /// What there is of a validator's exit; `None` if nothing is. `authorization` is the identity's signature of
    /// [`access_root`](flotilla_cluster::collect::exit::access_root).
    ///
    /// # Errors
    /// The exchange failed.
    pub async fn exit(
        &self,
        share: u64,
        validator: &PublicKeyBytes,
        authorization: &[u8],
    ) -> Result<Option<CollectedExit>, RemoteError> {
        let path = format!("/exp/exit/{}/{share}/{validator}", self.lock_hash);
        self.ask(&path, Some(authorization)).await
    }

    /// Deletes this share's exit of a validator; `false` if there is none.
    ///
    /// # Errors
    /// The exchange failed.
    pub async fn delete_exit(
        &self,
        share: u64,
        validator: &PublicKeyBytes,
        authorization: &[u8],
    ) -> Result<bool, RemoteError> {
        let path = format!("/exp/partial_exits/{}/{share}/{validator}", self.lock_hash);
        let address = self.address.replaced(&path);
        let request = self
            .client
            .delete(address.url().clone())
            .bearer_auth(format!("0x{}", hex::encode(authorization)));
        match exchange(&address, request, LIMIT_BYTES, self.timeout).await? {
            (StatusCode::NOT_FOUND, _) => Ok(false),
            answer => successful(&address, answer).map(|_| true),
        }
    }

    /// Posts deposits signed with a share.
    ///
    /// # Errors
    /// They were not taken.
    pub async fn post_deposits(
        &self,
        share: u64,
        deposits: &PartialDeposits,
    ) -> Result<(), RemoteError> {
        let path = format!("/deposit_data/partial_deposits/{}/{share}", self.lock_hash);
        self.post(&path, deposits).await.map(|_| ())
    }

    /// What there is of a validator's deposits; `None` if nothing is.
    ///
    /// # Errors
    /// The exchange failed.
    pub async fn deposits(
        &self,
        validator: &PublicKeyBytes,
    ) -> Result<Option<CollectedDeposits>, RemoteError> {
        let path = format!("/deposit_data/{}/{validator}", self.lock_hash);
        self.ask(&path, None).await
    }

    /// Posts builder registrations signed with a share.
    ///
    /// # Errors
    /// They were not taken.
    pub async fn post_registrations(
        &self,
        share: u64,
        registrations: &PartialRegistrations,
    ) -> Result<(), RemoteError> {
        let path = format!("/fee_recipient/partial/{}/{share}", self.lock_hash);
        self.post(&path, registrations).await.map(|_| ())
    }

    /// What there is of the registrations of these validators, of all if none is named.
    ///
    /// # Errors
    /// The exchange failed, or the server does not know the cluster.
    pub async fn registrations(
        &self,
        validators: Vec<PublicKeyBytes>,
    ) -> Result<CollectedRegistrations, RemoteError> {
        let path = format!("/fee_recipient/{}", self.lock_hash);
        let query = RegistrationQuery {
            pubkeys: validators,
        };
        let address = self.address.replaced(&path);
        match self.post(&path, &query).await {
            Err(RemoteError::Status {
                status: StatusCode::NOT_FOUND,
                excerpt,
                ..
            }) if excerpt.contains(NO_REGISTRATIONS) => Ok(CollectedRegistrations::default()),
            Err(error) => Err(error),
            Ok(body) => understood(&address, &body),
        }
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Vec<u8>, RemoteError> {
        let address = self.address.replaced(path);
        let request = self.client.post(address.url().clone()).json(body);
        accepted(
            &address,
            exchange(&address, request, LIMIT_BYTES, self.timeout).await?,
        )
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        authorization: Option<&[u8]>,
    ) -> Result<Option<T>, RemoteError> {
        let address = self.address.replaced(path);
        let mut request = self.client.get(address.url().clone());
        if let Some(authorization) = authorization {
            request = request.bearer_auth(format!("0x{}", hex::encode(authorization)));
        }
        match exchange(&address, request, LIMIT_BYTES, self.timeout).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            answer => understood(&address, &successful(&address, answer)?).map(Some),
        }
    }
}

fn understood<T: DeserializeOwned>(address: &Address, body: &[u8]) -> Result<T, RemoteError> {
    serde_json::from_slice(body).map_err(|error| not_understood(address, &error))
}

// Which duties of a span of slots a beacon node accepted: each counted once, however many nodes bring it.
// What was due is worked out from the beacon node's own duties and, for those selected by their signatures, from the
// validators' keys, which are the well-known ones of test networks.
import {ListCompositeType} from "@chainsafe/ssz";
import {chainConfigFromJson, createBeaconConfig} from "@lodestar/config";
import * as params from "@lodestar/params";
import * as st from "@lodestar/state-transition";
import {ssz} from "@lodestar/types";

export const KINDS = ["attestations", "aggregates", "sync messages", "contributions", "blocks"];
const LIST_LIMIT = 1 << 16;
const {ForkSeq, SLOTS_PER_EPOCH} = params;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Tally {
  constructor(target) {
    this.target = target;
    this.seen = Object.fromEntries(KINDS.map((kind) => [kind, new Set()]));
    this.attesters = new Map(); // epoch -> duties
    this.members = new Map(); // epoch -> duties
  }

  // What a node that is just starting does not answer is asked again.
  async get(path, init) {
    for (;;) {
      const answer = await fetch(this.target + path, init).catch(() => null);
      if (answer?.ok) return (await answer.json()).data;
      await answer?.arrayBuffer();
      await pause(200);
    }
  }

  // Reads each epoch's duties while they are served: after the epoch has begun, when they no longer change.
  async follow() {
    const genesis = await this.get("/eth/v1/beacon/genesis");
    const spec = await this.get("/eth/v1/config/spec");
    const blobs = (spec.BLOB_SCHEDULE ?? []).filter((entry) => Number.isFinite(entry.EPOCH));
    this.config = createBeaconConfig({...chainConfigFromJson(spec), BLOB_SCHEDULE: blobs}, Buffer.from(genesis.genesis_validators_root.slice(2), "hex"));
    const slotMs = Number(spec.SLOT_DURATION_MS ?? spec.SECONDS_PER_SLOT * 1000);
    const indices = (await this.get("/eth/v1/beacon/states/head/validators")).map((v) => v.index);
    const body = {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(indices)};
    for (;;) {
      const slot = Math.floor((Date.now() - Number(genesis.genesis_time) * 1000) / slotMs);
      const epoch = Math.floor(slot / SLOTS_PER_EPOCH);
      if (slot >= 0 && !this.members.has(epoch)) {
        this.attesters.set(epoch, await this.get(`/eth/v1/validator/duties/attester/${epoch}`, body));
        this.members.set(epoch, await this.get(`/eth/v1/validator/duties/sync/${epoch}`, body));
      }
      await pause(slotMs / 2);
    }
  }

  // Notes a body that the beacon node was given, without the items it named as bad.
  record(path, headers, body, status, answer) {
    const read = readers.find(([end]) => path.endsWith(end))?.[1];
    if (!read || ![200, 202, 400].includes(status)) return;
    const failures = status === 400 ? JSON.parse(answer.toString()).failures : [];
    if (!failures) return;
    const bad = new Set(failures.map(({index}) => Number(index)));
    const binary = /octet-stream/.test(headers["content-type"] ?? "");
    const fork = headers["eth-consensus-version"];
    const items = (type) => (binary ? new ListCompositeType(type, LIST_LIMIT).deserialize(body).map((item) => type.toJson(item)) : JSON.parse(body.toString()));
    read(items, fork).forEach(([kind, key], i) => bad.has(i) || this.seen[kind].add(key));
  }

  // The keys of what was due from one slot to another.
  due(first, last) {
    const due = Object.fromEntries(KINDS.map((kind) => [kind, new Set()]));
    const seat = params.SYNC_COMMITTEE_SIZE / params.SYNC_COMMITTEE_SUBNET_COUNT;
    for (let slot = first; slot <= last; slot++) {
      due.blocks.add(`${slot}`);
      for (const d of this.attesters.get(Math.floor(slot / SLOTS_PER_EPOCH)) ?? []) {
        if (Number(d.slot) !== slot) continue;
        const electra = this.config.getForkSeq(slot) >= ForkSeq.electra;
        due.attestations.add(electra ? `${slot}/${d.validator_index}` : `${slot}/${d.committee_index}/${d.validator_committee_index}`);
        const proof = this.sign(d.validator_index, ssz.Slot, slot, slot, params.DOMAIN_SELECTION_PROOF);
        if (st.isAggregatorFromCommitteeLength(Number(d.committee_length), proof)) due.aggregates.add(`${slot}/${d.validator_index}`);
      }
      for (const d of this.members.get(Math.floor(slot / SLOTS_PER_EPOCH)) ?? []) {
        due["sync messages"].add(`${slot}/${d.validator_index}`);
        for (const subcommitteeIndex of new Set(d.validator_sync_committee_indices.map((p) => Math.floor(p / seat)))) {
          const proof = this.sign(d.validator_index, ssz.altair.SyncAggregatorSelectionData, {slot, subcommitteeIndex}, slot, params.DOMAIN_SYNC_COMMITTEE_SELECTION_PROOF);
          if (st.isSyncCommitteeAggregator(proof)) due.contributions.add(`${slot}/${d.validator_index}/${subcommitteeIndex}`);
        }
      }
    }
    return due;
  }

  sign(index, type, value, slot, domain) {
    const root = st.computeSigningRoot(type, value, this.config.getDomain(slot, domain));
    return st.interopSecretKey(Number(index)).sign(root).toBytes();
  }

  // Of each kind: how many were due, how many of those were accepted, and the first of those that were not.
  async report(first, last) {
    for (let slot = first; slot <= last; slot++) {
      const answer = await fetch(`${this.target}/eth/v1/beacon/headers/${slot}`);
      await answer.arrayBuffer();
      if (answer.ok) this.seen.blocks.add(`${slot}`);
    }
    const count = ([kind, keys]) => {
      const missed = [...keys].filter((key) => !this.seen[kind].has(key));
      return [kind, {due: keys.size, accepted: keys.size - missed.length, missed: missed.slice(0, 10)}];
    };
    return Object.fromEntries(Object.entries(this.due(first, last)).map(count));
  }
}

// By the end of a path, how its items are read and what each is known by. Up to Deneb an attestation tells its place in
// the committee, later the validator.
const readers = [
  [
    "/pool/attestations",
    (items, fork) => {
      const electra = ForkSeq[fork] >= ForkSeq.electra;
      return items(electra ? ssz.electra.SingleAttestation : ssz.phase0.Attestation).map((a) => ["attestations", electra ? `${a.data.slot}/${a.attester_index}` : `${a.data.slot}/${a.data.index}/${place(a)}`]);
    },
  ],
  ["/aggregate_and_proofs", (items, fork) => items(ssz[fork]?.SignedAggregateAndProof).map(({message: m}) => ["aggregates", `${m.aggregate.data.slot}/${m.aggregator_index}`])],
  ["/pool/sync_committees", (items) => items(ssz.altair.SyncCommitteeMessage).map((m) => ["sync messages", `${m.slot}/${m.validator_index}`])],
  ["/contribution_and_proofs", (items) => items(ssz.altair.SignedContributionAndProof).map(({message: m}) => ["contributions", `${m.contribution.slot}/${m.aggregator_index}/${m.contribution.subcommittee_index}`])],
];

// The place of the one bit that is set, or of the first.
function place(a) {
  const bits = Buffer.from(a.aggregation_bits.slice(2), "hex");
  return [...Array(bits.length * 8).keys()].find((i) => (bits[i >> 3] >> (i & 7)) & 1);
}

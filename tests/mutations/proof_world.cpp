#include "tests/mutations/proof_world.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "consensus/receipt.h"
#include "crypto/canonical.h"
#include "kvstore/checkpoints.h"
#include "kvstore/state_machine.h"
#include "tests/unit/kvstore/memory_store.h"

namespace loyal::mutations {

namespace {

using consensus::Height;
using kvstore::Operation;

constexpr std::uint64_t interval = 4;
constexpr std::uint64_t heights = 12;
constexpr std::uint64_t start_ms = 1'700'000'000'000;

template <class T>
T must(Result<T> result, const char* what) {
    if (!result) {
        std::fprintf(stderr, "loyal-mutations: %s: %s\n", what, result.error().message.c_str());
        std::abort();
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(*result);
    }
}

crypto::Identity identity_of(std::uint8_t number) {
    std::array<std::uint8_t, 32> seed{};
    seed.fill(number);
    return crypto::Identity::from_seed(seed);
}

kvstore::Range range_of(const std::string& key) {
    kvstore::Range range;
    range.begin = bytes_of(key);
    return range;
}

// Blocks of 0 to 7 operations, of every kind and outcome.
std::vector<Operation> operations_of(std::uint64_t height) {
    const std::string own = "key " + std::to_string(height);
    std::vector<Operation> all = {
        kvstore::Put{bytes_of(own), bytes_of("value " + std::to_string(height))},
        kvstore::Put{bytes_of("shared"), bytes_of(std::to_string(height))},
        range_of("shared"),
        range_of("never"),
        kvstore::CompareAndSet{bytes_of("shared"), bytes_of("another"), bytes_of("mismatch")},
        kvstore::Delete{bytes_of(height == 6 ? std::string("never") : "key " + std::to_string(height - height / 2))},
        kvstore::CompareAndSet{bytes_of("swapped " + own), std::nullopt, bytes_of("set")},
    };
    all.resize(height % 8);
    return all;
}

void put_record(crypto::CanonicalWriter& out, const Bytes& key, const std::optional<kvstore::Item>& item) {
    out.sized(key).number(static_cast<std::uint8_t>(item ? 1 : 0));
    if (item) {
        out.sized(item->value).number(item->revision.value).number(item->created.value).number(item->version);
        out.number(item->timestamp.packed);
    }
}

Bytes operation_claim(const proof::ProvenOperation& operation) {
    crypto::CanonicalWriter out;
    out.raw(operation.client.bytes).number(operation.session.value);
    out.sized(kvstore::encode_operation(operation.operation)).digest(kvstore::outcome_digest(operation.outcome));
    return out.digest(operation.block).digest(operation.executed_digest).take();
}

}  // namespace

struct ProofWorld::Built {
    kvstore::test::MemoryStore store;
    std::unique_ptr<kvstore::StateMachine> machine;
    std::unique_ptr<kvstore::Checkpoints> checkpoints;
    std::vector<consensus::BlockPtr> chain;
    std::vector<std::shared_ptr<const kvstore::BlockResults>> results;
};

ProofWorld::ProofWorld(consensus::FaultModel model) {
    crypto::initialize();
    membership_.context = {crypto::digest_of("test", view_of("mutations")), consensus::Epoch(0)};
    membership_.fault_model = model;
    membership_.checkpoint_interval = interval;
    for (std::uint8_t i = 0; i < (model == consensus::FaultModel::byzantine ? 4 : 3); ++i) {
        replicas_.push_back(identity_of(static_cast<std::uint8_t>(i + 1)));
        membership_.replicas.push_back(replicas_.back().public_key());
    }
    salt_ = kvstore::salt_of(membership_.context.cluster_id);
    verifier_ = std::make_unique<proof::ProofVerifier>(membership_, salt_, signatures_);
    Built built;
    execute_blocks(built);
    prove_operations(built);
    prove_states(built);
}

ProofWorld::~ProofWorld() = default;

void ProofWorld::execute_blocks(Built& built) {
    const crypto::Identity client = identity_of(100);
    kvstore::StateMachineOptions options;
    options.clients[consensus::client_id_of(client.public_key())] =
        kvstore::client_with("client", client.public_key(), kvstore::right_read | kvstore::right_write);
    options.checkpoint_interval = interval;
    options.salt = salt_;
    built.machine = must(kvstore::StateMachine::open(built.store, options), "a state machine");
    built.checkpoints = must(kvstore::Checkpoints::open(built.store, {salt_, interval}), "checkpoints");
    std::map<Height, crypto::Digest> roots;
    std::uint64_t seq = 1;
    for (std::uint64_t height = 1; height <= heights; ++height) {
        const std::vector<Operation> operations = operations_of(height);
        std::vector<consensus::Envelope> envelopes;
        if (!operations.empty()) {
            consensus::EnvelopeContent content;
            content.key = client.public_key();
            content.session = consensus::SessionId(7);
            content.seq0 = consensus::Seq(seq);
            content.count = static_cast<std::uint16_t>(operations.size());
            content.not_after = consensus::Hlc(start_ms + 60'000, std::uint16_t{0});
            content.operations = kvstore::encode_operations(operations);
            seq += operations.size();
            auto bytes = std::make_shared<const Bytes>(
                consensus::make_envelope(content, membership_.context.cluster_id, membership_.context.epoch, &client));
            envelopes.push_back(must(consensus::parse_envelope(std::move(bytes)), "an envelope"));
        }
        consensus::Header header;
        header.height = Height(height);
        header.parent = built.chain.empty() ? consensus::genesis_block(membership_.context).id : built.chain.back()->id;
        auto body = std::make_shared<const Bytes>(consensus::make_body(envelopes));
        header.body_root = consensus::body_root_of(*body);
        header.body_bytes = static_cast<std::uint32_t>(body->size());
        header.envelopes = static_cast<std::uint32_t>(envelopes.size());
        header.flags = envelopes.empty() ? consensus::flag_empty : consensus::flag_none;
        header.hlc = consensus::Hlc(start_ms + height * 10, std::uint16_t{0});
        if (height % interval == 0 && height > interval) {
            header.checkpoint = Height(height - interval);
            header.checkpoint_root = roots.at(header.checkpoint);
        }
        built.chain.push_back(must(consensus::make_block(membership_.context, header, {}, std::move(body)), "a block"));
        auto executed = must(built.machine->execute(*built.chain.back()), "execution");
        built.results.push_back(executed.results);
        if (!built.machine->freeze_due()) {
            continue;
        }
        (void)built.machine->freeze();
        must(built.machine->write_frozen(kvstore::Durability::synced), "a generation");
        built.machine->drop_frozen();
        while (must(built.checkpoints->work(100), "a checkpoint")) {
        }
        roots[Height(height)] = built.checkpoints->roots().back().root;
        kvstore::Range everything;
        everything.end = Bytes();
        const auto answer = must(built.machine->read(everything), "a read");
        for (const kvstore::Item& item :
             must(kvstore::decode_range_result(must(kvstore::decode_query_answer(answer.result), "an answer").result),
                  "a range")
                 .items) {
            crypto::CanonicalWriter out;
            put_record(out, item.key, item);
            states_[Height(height)][item.key] = out.take();
        }
        facts_[Height(height)] = {Height(height), built.chain.back()->id, header.hlc, answer.revision};
    }
}

std::vector<std::vector<std::uint16_t>> ProofWorld::signer_sets(std::size_t size) const {
    std::vector<std::vector<std::uint16_t>> sets;
    for (std::uint32_t mask = 0; mask < 1U << replicas_.size(); ++mask) {
        std::vector<std::uint16_t> set;
        for (std::uint16_t i = 0; i < replicas_.size(); ++i) {
            if ((mask >> i & 1U) != 0) {
                set.push_back(i);
            }
        }
        if (set.size() == size) {
            sets.push_back(std::move(set));
        }
    }
    return sets;
}

void ProofWorld::keep(const proof::Proof& proof) {
    const Bytes file = proof::encode_proof(proof);
    const auto proven = must(verifier_->check(proof), "a proof that was made here does not verify");
    if (const auto* operation = std::get_if<proof::ProvenOperation>(&proven.what)) {
        operations_.insert(operation_claim(*operation));
    }
    by_claim_.emplace(claim_of(proven), file);
    proofs_.push_back(file);
}

void ProofWorld::prove_operations(const Built& built) {
    for (const auto& results : built.results) {
        for (std::uint32_t i = 0; i < results->operations.size(); ++i) {
            const kvstore::Receipt receipt = must(kvstore::make_receipt(*results, i), "a receipt");
            for (const auto& signers : signer_sets(membership_.quorum().w)) {
                proof::SignedReceipt of{receipt, {}};
                for (const std::uint16_t signer : signers) {
                    const Bytes content = consensus::receipt_content(
                        {{results->height, results->opening.block_id}, results->digest, consensus::ReplicaId(signer)});
                    of.signatures.push_back({consensus::ReplicaId(signer),
                                             replicas_[signer].sign(consensus::signed_bytes(
                                                 membership_.context, consensus::SignDomain::receipt, content))});
                }
                keep({membership_.context.cluster_id, std::move(of)});
            }
        }
    }
}

consensus::Vote ProofWorld::vote_for(const consensus::BlockRef& head, std::uint16_t voter) const {
    consensus::Vote vote;
    vote.prep = vote.com = head;
    vote.voter = consensus::ReplicaId(voter);
    vote.signature = replicas_[voter].sign(
        consensus::signed_bytes(membership_.context, consensus::SignDomain::vote, consensus::vote_content(vote)));
    return vote;
}

// The first voter's head is the header that carries the root, the others' are above it where there are headers.
std::optional<kvstore::CertifiedRoot> ProofWorld::certificate_of(const Built& built, Height checkpoint,
                                                                 const std::vector<std::uint16_t>& voters) const {
    const std::size_t carrier = checkpoint.value + interval - 1;
    consensus::CheckpointProof proof;
    proof.block = built.chain[checkpoint.value - 1]->header;
    proof.headers = {built.chain[carrier]->header};
    consensus::Certificate commit{consensus::CertKind::commit, consensus::View(0), proof.headers.back(), {}, {}};
    for (std::size_t i = 0; i < voters.size(); ++i) {
        const std::size_t head = std::min(carrier + i, built.chain.size() - 1);
        while (commit.path.size() < head - carrier) {
            commit.path.push_back(built.chain[carrier + 1 + commit.path.size()]->header);
        }
        commit.votes.push_back(vote_for(built.chain[head]->ref(), voters[i]));
    }
    proof.commit = std::move(commit);
    return kvstore::certified_root(proof, membership_.quorum().q);
}

void ProofWorld::prove_states(Built& built) {
    // Two absent keys in the bucket of a key that is there, one whose bucket holds nothing.
    const auto bucket = kvstore::bucket_of(kvstore::leaf_name(salt_, kvstore::StateTable::keys, view_of("shared")));
    keys_ = {bytes_of("shared"), bytes_of("key 1"), bytes_of("key 4"), bytes_of("nothing")};
    for (std::uint64_t i = 0; keys_.size() < 6; ++i) {
        const Bytes key = bytes_of("absent " + std::to_string(i));
        if (kvstore::bucket_of(kvstore::leaf_name(salt_, kvstore::StateTable::keys, key)) == bucket) {
            keys_.push_back(key);
        }
    }
    const bool crash = membership_.fault_model == consensus::FaultModel::crash;
    for (const kvstore::StateRoot& root : built.checkpoints->roots()) {
        if (root.height.value + interval > heights) {
            continue;
        }
        for (const Bytes& key : keys_) {
            auto proof =
                must(kvstore::make_state_proof(*built.checkpoints, root.height, salt_, kvstore::StateTable::keys, key),
                     "a proof of state");
            for (const auto& voters : signer_sets(crash ? membership_.quorum().w : membership_.quorum().q)) {
                if (crash) {
                    const consensus::ReplicaId replica(voters.front());
                    proof.vouched = kvstore::SignedRoot{root, replica,
                                                        replicas_[voters.front()].sign(consensus::signed_bytes(
                                                            membership_.context, consensus::SignDomain::state_root,
                                                            kvstore::root_content(root, replica)))};
                } else {
                    proof.certified = certificate_of(built, root.height, voters);
                }
                keep({membership_.context.cluster_id, proof});
            }
        }
    }
}

ProofWorld::Claim ProofWorld::claim_of(const proof::Proven& proven) {
    crypto::CanonicalWriter out;
    if (const auto* operation = std::get_if<proof::ProvenOperation>(&proven.what)) {
        out.raw(operation_claim(*operation));
    } else {
        const auto& record = std::get<proof::ProvenRecord>(proven.what);
        out.number(record.facts.height.value);
        put_record(out, record.key, record.item);
    }
    for (const consensus::ReplicaId signer : proven.signers) {
        out.number(signer.value);
    }
    return out.take();
}

std::string ProofWorld::objection(ByteView file, const proof::Proof& proof, const proof::Proven& proven) const {
    const Bytes again = proof::encode_proof(proof);
    if (!std::equal(again.begin(), again.end(), file.begin(), file.end())) {
        return "it is another encoding of a proof";
    }
    if (const auto* operation = std::get_if<proof::ProvenOperation>(&proven.what)) {
        if (!operations_.contains(operation_claim(*operation))) {
            return "it proves an operation or an outcome that never was";
        }
    } else {
        const auto& record = std::get<proof::ProvenRecord>(proven.what);
        const auto state = states_.find(record.facts.height);
        if (state == states_.end()) {
            return "it proves a state at a height that has no checkpoint";
        }
        const kvstore::StateFacts& facts = facts_.at(record.facts.height);
        if (facts.block != record.facts.block || facts.hlc != record.facts.hlc ||
            facts.revision != record.facts.revision) {
            return "it proves a block, a time or a revision that the state was not of";
        }
        const auto held = state->second.find(record.key);
        crypto::CanonicalWriter claimed;
        put_record(claimed, record.key, record.item);
        const bool is_true =
            held == state->second.end() ? !record.item : record.item.has_value() && claimed.take() == held->second;
        if (!is_true) {
            return "it proves a value or an absence that was not";
        }
    }
    const auto original = by_claim_.find(claim_of(proven));
    if (original != by_claim_.end() &&
        !std::equal(file.begin(), file.end(), original->second.begin(), original->second.end())) {
        return "it proves what another proof by the same replicas proves, with other bytes";
    }
    return {};
}

}  // namespace loyal::mutations

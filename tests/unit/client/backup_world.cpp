#include "tests/unit/client/backup_world.h"

#include <algorithm>
#include <array>

#include "kvstore/sessions.h"
#include "replica/state_transfer/serve_state.h"

namespace loyal::backup::test {

namespace {

crypto::Identity identity_of(std::uint8_t number) {
    std::array<std::uint8_t, 32> seed{};
    seed.fill(number);
    return crypto::Identity::from_seed(seed);
}

constexpr std::uint64_t wall_ms = 1'700'000'000'000;

}  // namespace

config::Cluster sample_cluster(consensus::FaultModel model) {
    config::Cluster cluster;
    cluster.instance = "00112233445566778899aabbccddeeff";
    cluster.fault_model = model;
    cluster.checkpoint_interval = interval;
    for (std::uint8_t i = 0; i < 4; ++i) {
        config::ReplicaEntry replica;
        replica.id = i;
        replica.public_key = identity_of(static_cast<std::uint8_t>(i + 1)).public_key();
        replica.advertise = replica.listen = "127.0.0.1";
        replica.peer_port = static_cast<std::uint16_t>(7400 + i);
        replica.client_port = static_cast<std::uint16_t>(7500 + i);
        replica.http_port = static_cast<std::uint16_t>(7600 + i);
        cluster.replicas.push_back(replica);
    }
    cluster.clients.push_back({"default", identity_of(101).public_key(), config::right_read | config::right_write});
    cluster.clients.push_back(
        {"admin", identity_of(102).public_key(), config::right_read | config::right_write | config::right_admin});
    cluster.cluster_id = config::compute_cluster_id(cluster);
    return cluster;
}

std::map<std::string, std::string> sample_data(std::size_t keys, const std::string& flavour) {
    std::map<std::string, std::string> data;
    for (std::size_t i = 0; i < keys; ++i) {
        data["key-" + std::to_string(i)] = flavour + "value " + std::to_string(i * i);
    }
    return data;
}

Snapshot::Snapshot(const config::Cluster& cluster, std::uint64_t height, const std::map<std::string, std::string>& data)
    : salt_(kvstore::salt_of(cluster.salt_id())) {
    std::uint64_t revision = 0;
    for (const auto& [key, value] : data) {
        kvstore::KeyRecord record;
        record.id.revision = record.created = kvstore::Revision(++revision);
        record.version = 1;
        record.timestamp = consensus::Hlc(wall_ms + revision, 0);
        record.value = bytes_of(value);
        add({kvstore::StateTable::keys, bytes_of(key), kvstore::encode_key_record(record.view())});
    }
    add({kvstore::StateTable::sessions,
         kvstore::encode_session_key({config::client_id_of(cluster.clients[0].public_key), consensus::SessionId(7)}),
         kvstore::encode_session(kvstore::Session())});
    consensus::Header block;
    block.view = consensus::View(1);
    block.height = Height(height);
    block.hlc = consensus::Hlc(wall_ms + revision, 0);
    kvstore::StateMeta meta;
    meta.height = block.height;
    meta.block = consensus::header_id(cluster.membership().context, block);
    meta.hlc = block.hlc;
    meta.revision = kvstore::Revision(revision);
    meta.digests.emplace_back(block.height, crypto::digest_of("exec", {}));
    add({kvstore::StateTable::meta, bytes_of(kvstore::meta_key), kvstore::encode_meta(meta)});
    prove(cluster, block);
}

void Snapshot::add(kvstore::StateRecord record) {
    const kvstore::Leaf leaf{kvstore::leaf_name(salt_, record.table, record.key),
                             kvstore::leaf_digest(record.table, record.key, record.content)};
    const kvstore::Bucket bucket = kvstore::bucket_of(leaf.name);
    auto& leaves = leaves_[bucket];
    leaves.insert(std::upper_bound(leaves.begin(), leaves.end(), leaf), leaf);
    tree_.set_bucket(bucket, kvstore::bucket_digest(leaves));
    records_.emplace(leaf.name, std::move(record));
}

void Snapshot::prove(const config::Cluster& cluster, const consensus::Header& block) {
    tree_.update();
    const consensus::Membership membership = cluster.membership();
    consensus::Header carrier;
    carrier.view = consensus::View(1);
    carrier.height = block.height.plus(interval);
    carrier.checkpoint = block.height;
    carrier.checkpoint_root = tree_.root();
    proof_.block = block;
    proof_.headers = {carrier};
    if (cluster.fault_model == consensus::FaultModel::crash) {
        return;
    }
    consensus::Certificate commit{consensus::CertKind::commit, consensus::View(1), carrier, {}, {}};
    const consensus::BlockRef ref{carrier.height, consensus::header_id(membership.context, carrier)};
    for (std::uint16_t voter = 0; voter < 3; ++voter) {
        consensus::Vote vote{consensus::View(1), ref, ref, ReplicaId(voter), {}};
        const Bytes content = consensus::vote_content(vote);
        vote.signature = identity_of(static_cast<std::uint8_t>(voter + 1))
                             .sign(consensus::signed_bytes(membership.context, consensus::SignDomain::vote, content));
        commit.votes.push_back(vote);
    }
    proof_.commit = std::move(commit);
}

// As a replica reads it, for the code that answers peers and clients.
class SnapshotCheckpoints final : public kvstore::Checkpoints {
 public:
    explicit SnapshotCheckpoints(const Snapshot& snapshot) : snapshot_(snapshot) {}

    [[nodiscard]] Result<bool> work(std::size_t) override { return false; }
    [[nodiscard]] std::vector<kvstore::StateRoot> roots() const override { return {snapshot_.proof_.root()}; }
    void release_below(Height) override {}
    [[nodiscard]] Result<std::vector<crypto::Digest>> subtree(Height at, std::uint32_t index) const override {
        if (at != snapshot_.proof_.root().height) {
            return fail(Errc::not_found, "no such checkpoint");
        }
        return snapshot_.tree_.subtree(index);
    }
    [[nodiscard]] Result<std::vector<kvstore::Leaf>> leaves(Height at, kvstore::Bucket bucket) const override {
        if (at != snapshot_.proof_.root().height) {
            return fail(Errc::not_found, "no such checkpoint");
        }
        const auto found = snapshot_.leaves_.find(bucket);
        return found == snapshot_.leaves_.end() ? std::vector<kvstore::Leaf>() : found->second;
    }
    [[nodiscard]] Result<std::vector<kvstore::StateRecord>> records(Height at,
                                                                    const std::vector<kvstore::LeafName>& names,
                                                                    std::size_t bytes_max) const override {
        if (at != snapshot_.proof_.root().height) {
            return fail(Errc::not_found, "no such checkpoint");
        }
        std::vector<kvstore::StateRecord> result;
        std::size_t bytes = 0;
        for (const kvstore::LeafName& name : names) {
            if (const auto found = snapshot_.records_.find(name); found != snapshot_.records_.end()) {
                bytes += found->second.key.size() + found->second.content.size() + 16;
                if (!result.empty() && bytes > bytes_max) {
                    break;
                }
                result.push_back(found->second);
            }
        }
        return result;
    }
    [[nodiscard]] Result<ScrubStep> scrub(std::size_t) override { return ScrubStep{}; }

 private:
    const Snapshot& snapshot_;
};

Result<consensus::StateChunk> Snapshot::answer(const consensus::StateRequest& request) const {
    return replica::serve_state_part(SnapshotCheckpoints(*this), request).chunk;
}

void MemorySource::checkpoint(ReplicaId replica, OnCheckpoint done) {
    if (const auto gone = unreachable.find(replica); gone != unreachable.end()) {
        return done(tl::unexpected(gone->second));
    }
    wire::CheckpointAnswer answer;
    answer.executed = Height(2 * interval - 10);
    if (const auto& snapshot = current[replica.value]) {
        answer.proof = snapshot->proof();
        answer.executed = snapshot->proof().headers.back().height;
        if (spoil_proof) {
            spoil_proof(replica, *answer.proof);
        }
    }
    done(answer);
}

void MemorySource::part(ReplicaId replica, consensus::StateRequest request, OnPart done) {
    if (before_part) {
        before_part(parts);
    }
    ++parts;
    ++asked[replica];
    if (const auto gone = unreachable.find(replica); gone != unreachable.end()) {
        return done(tl::unexpected(gone->second));
    }
    auto chunk = current[replica.value]->answer(request);
    if (chunk && spoil) {
        spoil(replica, request, *chunk);
    }
    done(chunk);
}

}  // namespace loyal::backup::test

// A cluster in memory for the tests of backups: a state, the certificate of its checkpoint with real signatures, and
// replicas that answer at once, honestly or not.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/backup/take.h"
#include "config/cluster.h"
#include "crypto/identity.h"
#include "kvstore/checkpoints.h"
#include "kvstore/kv_tables.h"
#include "kvstore/state_digest.h"

namespace loyal::backup::test {

using consensus::Height;
using consensus::ReplicaId;

inline constexpr std::uint64_t interval = 64;

// Four replicas with the keys of seeds 1 to 4.
[[nodiscard]] config::Cluster sample_cluster(consensus::FaultModel model = consensus::FaultModel::byzantine);

// The state after the block of `height`, with its certificate.
class Snapshot {
 public:
    Snapshot(const config::Cluster& cluster, std::uint64_t height, const std::map<std::string, std::string>& data);

    [[nodiscard]] const consensus::CheckpointProof& proof() const { return proof_; }
    [[nodiscard]] Result<consensus::StateChunk> answer(const consensus::StateRequest& request) const;
    [[nodiscard]] const std::map<kvstore::LeafName, kvstore::StateRecord>& records() const { return records_; }

 private:
    friend class SnapshotCheckpoints;
    void add(kvstore::StateRecord record);
    void prove(const config::Cluster& cluster, const consensus::Header& block);

    kvstore::Salt salt_;
    std::map<kvstore::LeafName, kvstore::StateRecord> records_;
    std::map<kvstore::Bucket, std::vector<kvstore::Leaf>> leaves_;
    kvstore::DigestTree tree_;
    consensus::CheckpointProof proof_;
};

// Answers on the thread that asks.
class MemorySource final : public Source {
 public:
    explicit MemorySource(std::size_t replicas) : current(replicas) {}
    void checkpoint(ReplicaId replica, OnCheckpoint done) override;
    void part(ReplicaId replica, consensus::StateRequest request, OnPart done) override;

    std::vector<std::shared_ptr<const Snapshot>> current;  // by replica; null: no checkpoint
    std::map<ReplicaId, Error> unreachable;
    // May alter what a replica answers.
    std::function<void(ReplicaId, const consensus::StateRequest&, consensus::StateChunk&)> spoil;
    std::function<void(ReplicaId, consensus::CheckpointProof&)> spoil_proof;
    std::function<void(std::size_t answered)> before_part;
    std::map<ReplicaId, std::size_t> asked;
    std::size_t parts = 0;
};

[[nodiscard]] std::map<std::string, std::string> sample_data(std::size_t keys, const std::string& flavour = "");

}  // namespace loyal::backup::test

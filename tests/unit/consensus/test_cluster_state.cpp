// The state store, the log's truncation and state transfer of a TestCluster, as a driver of the core has them. The root
// of a state is a digest of its execution digest.
#include <algorithm>
#include <utility>

#include "config/limits.h"
#include "tests/unit/consensus/test_cluster.h"

namespace loyal::consensus::test {
namespace {

constexpr std::size_t digests_kept = 66;  // in the state's meta record

}  // namespace

crypto::Digest TestCluster::root_of(const crypto::Digest& executed_digest) {
    return crypto::digest_of("root", executed_digest.view());
}

// ---- Taking checkpoints

void TestCluster::note_executed(std::size_t replica, const Block& block) {
    Replica& self = replicas[replica];
    const Height height = block.header.height;
    if (shape.checkpoint_interval == 0 || height.value % shape.checkpoint_interval != 0) {
        return;
    }
    self.checkpoint_blocks.insert_or_assign(height, block.header);
    self.roots_due.push_back(height);
    if (self.auto_root) {
        root_all(replica);
    }
}

void TestCluster::compute_root(std::size_t replica, Height height) {
    Replica& self = replicas[replica];
    if (self.core == nullptr || !self.core->status().state_lost.empty() || height.value >= self.digests.size()) {
        return;
    }
    crypto::Digest root = root_of(self.digests[height.value]);
    root.bytes[7] ^= static_cast<std::uint8_t>(self.wrong_roots ? 1 : 0);
    self.roots.insert_or_assign(height, root);
    step(replica, CheckpointReady{{height, root}});
    end_batch(replica);
}

void TestCluster::root_all(std::size_t replica) {
    Replica& self = replicas[replica];
    while (!self.roots_due.empty()) {
        const Height height = self.roots_due.front();
        self.roots_due.pop_front();
        compute_root(replica, height);
    }
}

void TestCluster::corrupt_state(std::size_t replica) {
    replicas[replica].digests.back().bytes[3] ^= 1U;
}

void TestCluster::lose_state(std::size_t replica, const std::string& why) {
    Replica& self = replicas[replica];
    self.lost = why;
    self.to_execute.clear();
    self.roots_due.clear();
    step(replica, StateLost{why});
    end_batch(replica);
}

void TestCluster::log_damaged(std::size_t replica, std::vector<BlockRef> blocks) {
    step(replica, LogDamaged{std::move(blocks)});
    end_batch(replica);
}

void TestCluster::apply_checkpoint(std::size_t replica, const Effect& effect) {
    Replica& self = replicas[replica];
    if (const auto* fetch = std::get_if<FetchState>(&effect)) {
        self.fetches.push_back(*fetch);
        self.to_execute.clear();
        self.roots_due.clear();
    } else if (const auto* stable = std::get_if<Stable>(&effect)) {
        self.stable.push_back(*stable);
        const Height floor = stable->checkpoint.height;
        if (!self.truncates || floor <= self.base.height) {
            return;
        }
        self.base = {floor, header_id(membership.context, self.checkpoint_blocks.at(floor))};
        self.installed.reset();
        self.log_first = std::max(self.log_first, floor);
        std::erase_if(self.log, [&](const LogRecord& record) {
            const auto* block = std::get_if<BlockRecord>(&record);
            const auto* commit = std::get_if<CommitRecord>(&record);
            return (block != nullptr && block->block->header.height < floor) ||
                   (commit != nullptr && commit->block.height < floor);
        });
    }
}

// ---- Serving

std::optional<CheckpointProof> TestCluster::newest_checkpoint(std::size_t replica) const {
    const Replica& self = replicas[replica];
    std::map<Height, std::optional<Certificate>> commits;
    for (const LogRecord& record : self.log) {
        if (const auto* commit = std::get_if<CommitRecord>(&record)) {
            commits.insert_or_assign(commit->block.height, commit->certificate);
        }
    }
    const std::uint64_t interval = shape.checkpoint_interval;
    for (auto block = self.checkpoint_blocks.rbegin(); block != self.checkpoint_blocks.rend(); ++block) {
        const Height carrier = block->first.plus(interval);
        for (auto commit = commits.lower_bound(carrier); commit != commits.end(); ++commit) {
            if (shape.fault_model == FaultModel::byzantine && !commit->second) {
                continue;
            }
            const Height top = shape.fault_model == FaultModel::byzantine ? commit->second->target.height : carrier;
            CheckpointProof proof{block->second, {}, commit->second};
            for (Height at = carrier; at <= top && self.executed_ever.contains(at); at = at.next()) {
                proof.headers.push_back(self.executed_ever.at(at)->header);
            }
            if (proof.headers.size() == top.value - carrier.value + 1 &&
                proof.headers.size() <= limits::fetch_blocks_max) {
                return proof;
            }
        }
    }
    return std::nullopt;
}

Blocks TestCluster::serve(std::size_t replica, const ServeCommitted& request) const {
    const Replica& self = replicas[replica];
    Blocks answer;
    if (request.from < self.log_first) {
        answer.checkpoint = newest_checkpoint(replica);
        return answer;
    }
    for (auto it = self.executed_ever.lower_bound(request.from);
         it != self.executed_ever.end() && answer.headers.size() < limits::fetch_blocks_max; ++it) {
        answer.headers.push_back(it->second->header);
        answer.blocks.push_back(it->second);
    }
    for (const LogRecord& record : self.log) {
        const auto* commit = std::get_if<CommitRecord>(&record);
        if (commit != nullptr && commit->certificate && !answer.headers.empty() &&
            commit->certificate->target.height <= answer.headers.back().height) {
            answer.commit = commit->certificate;
        }
    }
    if (shape.fault_model == FaultModel::byzantine) {
        const Height top = answer.commit ? answer.commit->target.height : Height(0);
        std::erase_if(answer.headers, [&](const Header& header) { return header.height > top; });
        std::erase_if(answer.blocks, [&](const BlockPtr& block) { return block->header.height > top; });
    }
    answer.blocks.insert(answer.blocks.end(), request.tail.blocks.begin(), request.tail.blocks.end());
    answer.prepare = request.tail.prepare;
    if (answer.headers.empty()) {
        answer.commit.reset();
    }
    return answer;
}

// ---- Transfer and restart

bool TestCluster::install(std::size_t replica) {
    Replica& self = replicas[replica];
    if (self.fetches.empty()) {
        return false;
    }
    const FetchState target = self.fetches.back();
    const Height height = target.checkpoint.height;
    const std::vector<crypto::Digest>* state = nullptr;
    const std::vector<crypto::Digest> first{crypto::Digest{}};
    if (height.value == 0) {
        state = &first;
    }
    for (const Replica& donor : replicas) {
        const auto root = donor.roots.find(height);
        const auto block = donor.checkpoint_blocks.find(height);
        if (state == nullptr && root != donor.roots.end() && root->second == target.checkpoint.root &&
            block != donor.checkpoint_blocks.end() && block->second == target.block &&
            donor.digests.size() > height.value && root_of(donor.digests[height.value]) == root->second) {
            state = &donor.digests;
        }
    }
    if (state == nullptr) {
        return false;
    }
    self.digests =
        std::vector<crypto::Digest>(state->begin(), state->begin() + static_cast<std::ptrdiff_t>(height.value + 1));
    crash(replica);
    self.fetches.clear();
    self.lost.clear();
    self.roots.clear();
    self.base = {};
    self.installed.reset();
    if (height.value != 0) {
        self.base = {height, header_id(membership.context, target.block)};
        self.roots.emplace(height, target.checkpoint.root);
        self.checkpoint_blocks.insert_or_assign(height, target.block);
        self.installed = target.block;
        const bool in_log = std::any_of(self.log.begin(), self.log.end(), [&](const LogRecord& record) {
            const auto* block = std::get_if<BlockRecord>(&record);
            return block != nullptr && block->block->id == self.base.id;
        });
        self.log_first = std::max(self.log_first, in_log ? height : height.next());
    }
    restart(replica);
    return true;
}

void TestCluster::recover_state(std::size_t replica, Recovered& recovered) const {
    const Replica& self = replicas[replica];
    recovered.executed = self.base.height;
    recovered.executed_id = self.base.id;
    recovered.installed = self.installed;
    recovered.state_lost = self.lost;
    const std::size_t top = self.base.height.value;
    for (std::size_t height = top > digests_kept ? top - digests_kept : 1; height <= top; ++height) {
        recovered.executed_digests.emplace_back(Height(height), self.digests[height]);
    }
    for (const auto& [height, root] : self.roots) {
        if (height <= self.base.height) {
            recovered.roots.push_back({height, root});
        }
    }
    if (shape.checkpoint_interval != 0 && self.knows_stable) {
        recovered.stable = newest_checkpoint(replica);
    }
}

}  // namespace loyal::consensus::test

// Replicas with checkpoints for tests: a chain of blocks with random operations, a state machine and its checkpoints
// over a store in memory, and what the state must be, computed without any of that machinery's digests.
#pragma once

#include <rapidcheck.h>

#include <map>
#include <set>

#include "kvstore/checkpoint_tables.h"
#include "kvstore/checkpoints.h"
#include "tests/unit/kvstore/memory_store.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore::test {

// begin <= value < end, all equally likely also in a property's first, small cases.
template <class T>
T pick(T begin, T end) {
    return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(begin, end));
}
inline bool one_in(int count) {
    return pick(0, count) == 0;
}

inline constexpr std::uint64_t test_interval = 4;
inline const Salt test_salt = salt_of(crypto::digest_of("test", view_of("cluster")));

inline CheckpointOptions checkpoint_options() {
    return {test_salt, test_interval};
}
inline StateMachineOptions machine_with_checkpoints() {
    StateMachineOptions options = two_clients();
    options.checkpoint_interval = test_interval;
    options.salt = test_salt;
    return options;
}

// Every record of a store, sorted; contents without links and seals.
using Records = std::map<std::pair<StateTable, Bytes>, Bytes>;
inline Records records_of(const MemoryStore& store) {
    Records records;
    for (const RootedTable& rooted : rooted_tables) {
        for (const auto& [key, value] : store.tables[rooted.table.index()]) {
            if (key.size() <= limits::key_bytes_max) {
                records[{rooted.id, key}] = Bytes(value.begin() + link_bytes, value.end() - 16);
            }
        }
    }
    return records;
}

// From nothing but the definition in state_digest.h.
inline crypto::Digest root_of(const Records& records) {
    std::map<Bucket, std::map<LeafName, crypto::Digest>> by_bucket;
    for (const auto& [key, content] : records) {
        const LeafName name = leaf_name(test_salt, key.first, key.second);
        by_bucket[bucket_of(name)][name] = leaf_digest(key.first, key.second, content);
    }
    std::map<std::uint32_t, crypto::Digest> level;
    for (const auto& [bucket, leaves] : by_bucket) {
        crypto::Hasher hasher("bucket");
        for (const auto& [name, digest] : leaves) {
            hasher.update(name).update(digest.view());
        }
        level[bucket] = hasher.finish();
    }
    for (std::size_t depth = 0; depth < bucket_level; ++depth) {
        std::map<std::uint32_t, std::vector<crypto::Digest>> parents;
        for (const auto& [index, digest] : level) {
            auto& children = parents[index / 16];
            children.resize(tree_fan_out);
            children[index % 16] = digest;
        }
        level.clear();
        for (const auto& [index, children] : parents) {
            level[index] = node_digest(children);
        }
    }
    return level.empty() ? crypto::Digest{} : level.begin()->second;
}

// Blocks that put and delete few keys, lease and lock, from sessions that come and go; the same chain for every replica
// of a test.
class Chain {
 public:
    const consensus::BlockPtr& at(std::uint64_t height) {
        while (blocks_.size() < height) {
            blocks_.push_back(next());
        }
        return blocks_[height - 1];
    }
    // What the state holds after `height`.
    const Records& records(std::uint64_t height) {
        for (std::uint64_t next = reference_->executed().value + 1; next <= height; ++next) {
            must(reference_->execute(*at(next)));
            if (reference_->freeze()) {
                must(reference_->write_frozen(Durability::synced));
                reference_->drop_frozen();
            }
            records_[next] = records_of(*store_);
        }
        return records_[height];
    }
    StateRoot root(std::uint64_t height) { return {consensus::Height(height), root_of(records(height))}; }

 private:
    consensus::BlockPtr next() {
        Submission submission;
        submission.session = pick<std::uint64_t>(1, 4);
        submission.seq0 = ++seq_[submission.session];
        submission.ack_low = submission.seq0;
        submission.operations.resize(pick<std::size_t>(1, 6));
        for (Operation& operation : submission.operations) {
            operation = next_operation("k" + std::to_string(pick(0, 12)));
        }
        seq_[submission.session] += submission.operations.size();
        return block_on(blocks_.empty() ? nullptr : blocks_.back(), {envelope_of(submission)},
                        start_ms + blocks_.size() + 1);
    }

    static Operation next_operation(const std::string& key) {
        switch (pick(0, 12)) {
            case 0: return LeaseGrant{60'000};
            case 1: return Put{bytes_of(key), bytes_of("leased"), {}, 60'000};
            case 2: return LockAcquire{bytes_of("lock"), LeaseId(pick<std::uint64_t>(1, 4))};
            case 3:
            case 4:
            case 5: return del(key);
            default: return put(key, std::to_string(pick(0, 1000)));
        }
    }

    std::vector<consensus::BlockPtr> blocks_;
    std::map<std::uint64_t, std::uint64_t> seq_;
    std::unique_ptr<MemoryStore> store_ = std::make_unique<MemoryStore>();
    std::unique_ptr<StateMachine> reference_ = must(StateMachine::open(*store_, two_clients()));
    std::map<std::uint64_t, Records> records_;
};

// A replica that executes a chain, writes back and takes checkpoints as its test says.
class CheckpointedReplica {
 public:
    explicit CheckpointedReplica(Chain& chain) : chain_(chain) { open(); }
    CheckpointedReplica(Chain& chain, std::unique_ptr<MemoryStore> of) : chain_(chain), store_(std::move(of)) {
        open();
    }

    void open() {
        machine_ = must(StateMachine::open(*store_, machine_with_checkpoints()));
        checkpoints_ = must(Checkpoints::open(*store_, checkpoint_options()));
    }
    void crash(std::size_t lost) {
        machine_.reset();
        checkpoints_.reset();
        store_->crash(lost);
        open();
    }
    void flush(Durability durability = Durability::lazy) {
        if (machine_->freeze()) {
            must(machine_->write_frozen(durability));
            machine_->drop_frozen();
        }
    }
    ExecutedBlock execute() {
        if (machine_->freeze_due()) {
            flush();
        }
        return must(machine_->execute(*chain_.at(machine_->executed().value + 1)));
    }
    void execute_to(std::uint64_t height) {
        while (machine_->executed().value < height) {
            (void)execute();
        }
    }
    void work_all(std::size_t records_max = 100) {
        while (must(checkpoints_->work(records_max))) {
        }
    }
    // Everything at a checkpoint, through the parts in which it is served, each checked against the root.
    Records served(const StateRoot& at) const {
        Records records;
        const auto top = must(checkpoints_->subtree(at.height, 0));
        if (node_digest(top) != at.root) {
            throw std::runtime_error("the top of the tree does not give the root");
        }
        for (std::uint32_t part = 0; part < subtree_digests; ++part) {
            if (top[part].is_zero()) {
                continue;
            }
            const auto digests = must(checkpoints_->subtree(at.height, 1 + part));
            if (node_digest(digests) != top[part]) {
                throw std::runtime_error("a part of the tree does not give its digest");
            }
            for (std::uint32_t i = 0; i < subtree_digests; ++i) {
                if (!digests[i].is_zero()) {
                    add_bucket(at, part * 256 + i, digests[i], records);
                }
            }
        }
        return records;
    }

    StateMachine& machine() { return *machine_; }
    Checkpoints& checkpoints() { return *checkpoints_; }
    MemoryStore& store() { return *store_; }

 private:
    void add_bucket(const StateRoot& at, Bucket bucket, const crypto::Digest& digest, Records& records) const {
        const auto leaves = must(checkpoints_->leaves(at.height, bucket));
        if (bucket_digest(leaves) != digest) {
            throw std::runtime_error("leaves do not give their bucket's digest");
        }
        std::vector<LeafName> names;
        for (const Leaf& leaf : leaves) {
            names.push_back(leaf.name);
        }
        while (!names.empty()) {
            const auto some = must(checkpoints_->records(at.height, names, 40));
            if (some.empty()) {
                throw std::runtime_error("leaves without records");
            }
            for (const StateRecord& record : some) {
                records[{record.table, record.key}] = record.content;
            }
            names.erase(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(some.size()));
        }
    }

    Chain& chain_;
    std::unique_ptr<MemoryStore> store_ = std::make_unique<MemoryStore>();
    std::unique_ptr<StateMachine> machine_;
    std::unique_ptr<Checkpoints> checkpoints_;
};

}  // namespace loyal::kvstore::test

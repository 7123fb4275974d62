// States in memory for the tests of state transfer: checkpoints that serve, a builder, an old state, and peers that
// lie.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kvstore/checkpoints.h"
#include "kvstore/state_builder.h"
#include "kvstore/state_digest.h"
#include "replica/state_transfer/serve_state.h"
#include "replica/state_transfer/state_fetch.h"

namespace loyal::replica::state_test {

using consensus::Height;
using consensus::LeafName;
using consensus::ReplicaId;
using consensus::StateChunk;
using consensus::StatePart;
using consensus::StateRequest;
using kvstore::Bucket;
using kvstore::Leaf;
using kvstore::StateRecord;
using kvstore::StateRoot;
using kvstore::StateTable;

inline kvstore::Salt test_salt() {
    return kvstore::salt_of(crypto::digest_of("test cluster", {}));
}

// A whole state: what correct replicas agree on.
class MemoryState {
 public:
    void put(const std::string& key, const std::string& value) {
        StateRecord record{StateTable::keys, bytes_of(key), bytes_of(value)};
        const Leaf leaf{kvstore::leaf_name(test_salt(), record.table, record.key),
                        kvstore::leaf_digest(record.table, record.key, record.content)};
        const Bucket bucket = kvstore::bucket_of(leaf.name);
        auto& leaves = buckets_[bucket];
        leaves[leaf.name] = leaf.digest;
        records_[leaf.name] = std::move(record);
        tree_.set_bucket(bucket, kvstore::bucket_digest(leaves_of(bucket)));
    }
    [[nodiscard]] std::vector<Leaf> leaves_of(Bucket bucket) const {
        std::vector<Leaf> result;
        if (const auto found = buckets_.find(bucket); found != buckets_.end()) {
            for (const auto& [name, digest] : found->second) {
                result.push_back({name, digest});
            }
        }
        return result;
    }
    [[nodiscard]] const StateRecord* find(const LeafName& name) const {
        const auto found = records_.find(name);
        return found == records_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] StateRoot root(std::uint64_t height) {
        tree_.update();
        return {Height(height), tree_.root()};
    }
    [[nodiscard]] std::vector<crypto::Digest> subtree(std::uint32_t index) const { return tree_.subtree(index); }
    [[nodiscard]] const std::map<LeafName, StateRecord>& records() const { return records_; }

 private:
    std::map<LeafName, StateRecord> records_;
    std::map<Bucket, std::map<LeafName, crypto::Digest>> buckets_;
    kvstore::DigestTree tree_;
};

inline MemoryState sample_state(std::size_t keys, const std::string& flavour = "", std::size_t value_bytes = 20) {
    MemoryState state;
    for (std::size_t i = 0; i < keys; ++i) {
        const std::string number = std::to_string(i);
        state.put("key-" + number, flavour + number + std::string(value_bytes, 'v'));
    }
    return state;
}

// Serves the states that it was given.
class MemoryCheckpoints final : public kvstore::Checkpoints {
 public:
    void keep(std::uint64_t height, MemoryState* state) {
        states_[Height(height)] = state;
        roots_.push_back(state->root(height));
    }
    void forget(std::uint64_t height) { states_.erase(Height(height)); }

    [[nodiscard]] Result<bool> work(std::size_t) override { return false; }
    [[nodiscard]] std::vector<StateRoot> roots() const override { return roots_; }
    void release_below(Height) override {}
    [[nodiscard]] Result<std::vector<crypto::Digest>> subtree(Height at, std::uint32_t index) const override {
        const auto found = states_.find(at);
        return found == states_.end() ? none<std::vector<crypto::Digest>>() : found->second->subtree(index);
    }
    [[nodiscard]] Result<std::vector<Leaf>> leaves(Height at, Bucket bucket) const override {
        const auto found = states_.find(at);
        return found == states_.end() ? none<std::vector<Leaf>>() : found->second->leaves_of(bucket);
    }
    [[nodiscard]] Result<std::vector<StateRecord>> records(Height at, const std::vector<LeafName>& names,
                                                           std::size_t bytes_max) const override {
        const auto found = states_.find(at);
        if (found == states_.end()) {
            return none<std::vector<StateRecord>>();
        }
        std::vector<StateRecord> result;
        std::size_t bytes = 0;
        for (const LeafName& name : names) {
            if (const StateRecord* record = found->second->find(name)) {
                bytes += record->key.size() + record->content.size() + 16;
                if (!result.empty() && bytes > bytes_max) {
                    break;
                }
                result.push_back(*record);
            }
        }
        return result;
    }
    [[nodiscard]] Result<ScrubStep> scrub(std::size_t) override { return ScrubStep{}; }

 private:
    template <class T>
    static Result<T> none() {
        return fail(Errc::not_found, "no such checkpoint");
    }
    std::map<Height, MemoryState*> states_;
    std::vector<StateRoot> roots_;
};

// What StateBuilder promises, in memory. `durable` outlives builders, as a store does.
class MemoryBuilder final : public kvstore::StateBuilder {
 public:
    struct Store {
        std::map<Bucket, crypto::Digest> done;
        std::map<LeafName, std::pair<crypto::Digest, StateRecord>> records;
        std::map<Bucket, std::set<LeafName>> names;
        std::uint64_t puts = 0;
    };
    MemoryBuilder(Store& store, StateRoot target) : store_(store), target_(target) {}

    [[nodiscard]] std::optional<crypto::Digest> done(Bucket bucket) const override {
        const auto found = store_.done.find(bucket);
        return found == store_.done.end() ? std::nullopt : std::optional(found->second);
    }
    [[nodiscard]] Result<std::vector<Leaf>> leaves(Bucket bucket) const override {
        std::vector<Leaf> result;
        if (const auto found = store_.names.find(bucket); found != store_.names.end()) {
            for (const LeafName& name : found->second) {
                result.push_back({name, store_.records.at(name).first});
            }
        }
        return result;
    }
    [[nodiscard]] Result<void> put(Bucket bucket, const std::vector<Leaf>& leaves,
                                   std::vector<StateRecord> records) override {
        if (full) {
            return fail(Errc::disk_full, "no space left");
        }
        ++store_.puts;
        std::map<LeafName, StateRecord> given;
        for (const StateRecord& record : records) {
            given[kvstore::leaf_name(test_salt(), record.table, record.key)] = record;
        }
        std::set<LeafName> before = std::exchange(store_.names[bucket], {});
        for (const Leaf& leaf : leaves) {
            if (const auto found = given.find(leaf.name); found != given.end()) {
                store_.records[leaf.name] = {leaf.digest, found->second};
            } else if (!store_.records.contains(leaf.name) || store_.records[leaf.name].first != leaf.digest) {
                return fail(Errc::internal, "a record was neither given nor there");
            }
            store_.names[bucket].insert(leaf.name);
            before.erase(leaf.name);
        }
        for (const LeafName& name : before) {
            store_.records.erase(name);
        }
        store_.done[bucket] = kvstore::bucket_digest(leaves);
        return {};
    }
    [[nodiscard]] Result<void> retarget(const StateRoot& target) override {
        target_ = target;
        return {};
    }
    [[nodiscard]] Result<void> settle() override {
        if (settling) {
            settling();
        }
        return {};
    }
    std::function<void()> settling;  // called while it does
    [[nodiscard]] Result<void> finish() override {
        kvstore::DigestTree tree;
        for (Bucket bucket = 0; bucket < kvstore::buckets; ++bucket) {
            if (!store_.done.contains(bucket)) {
                return fail(Errc::internal, "finished too early");
            }
            std::vector<Leaf> leaves;
            for (const LeafName& name : store_.names[bucket]) {
                const StateRecord& record = store_.records.at(name).second;
                leaves.push_back({name, kvstore::leaf_digest(record.table, record.key, record.content)});
            }
            tree.set_bucket(bucket, kvstore::bucket_digest(leaves));
        }
        tree.update();
        return tree.root() == target_.root ? Result<void>() : fail(Errc::corrupted, "another root");
    }
    bool full = false;

 private:
    Store& store_;
    StateRoot target_;
};

// An old state of the own.
class MemoryLocal final : public LocalState {
 public:
    explicit MemoryLocal(MemoryState* state = nullptr) : state_(state) {}
    [[nodiscard]] std::vector<std::vector<crypto::Digest>> subtrees(std::uint32_t index) override {
        if (state_ == nullptr) {
            return {};
        }
        (void)state_->root(0);  // brings it up to date
        return {state_->subtree(index)};
    }
    [[nodiscard]] std::vector<std::vector<Leaf>> leaves(Bucket bucket) override {
        if (state_ == nullptr) {
            return {};
        }
        return {state_->leaves_of(bucket)};
    }
    [[nodiscard]] std::vector<StateRecord> records(const std::vector<Leaf>& wanted) override {
        std::vector<StateRecord> result;
        for (const Leaf& leaf : wanted) {
            const StateRecord* record = state_ == nullptr ? nullptr : state_->find(leaf.name);
            if (record != nullptr && !unreadable.contains(leaf.name)) {
                result.push_back(*record);
                if (rotten.contains(leaf.name)) {
                    result.back().content.push_back(1);
                }
            }
        }
        return result;
    }
    std::set<LeafName> unreadable, rotten;

 private:
    MemoryState* state_;
};

}  // namespace loyal::replica::state_test

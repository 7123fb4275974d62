// A state put together from another store's checkpoint is that state: the same digests from there on. Whatever
// interrupts it, and whatever is wrong with what it was given.
#include "kvstore/state_builder.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/kvstore/checkpoint_support.h"

namespace loyal::kvstore {
namespace {

using consensus::Height;
using test::Chain;
using test::checkpoint_options;
using test::CheckpointedReplica;
using test::MemoryStore;
using test::must;
using test::test_interval;

// Those of `leaves` that are not in the store already.
std::vector<LeafName> lacking(const StateBuilder& builder, Bucket bucket, const std::vector<Leaf>& leaves) {
    const auto known = must(builder.leaves(bucket));
    std::vector<LeafName> names;
    for (const Leaf& leaf : leaves) {
        if (std::find(known.begin(), known.end(), leaf) == known.end()) {
            names.push_back(leaf.name);
        }
    }
    return names;
}

// What a transfer does: at most `most` buckets that are not as they should be; false when some are left.
class Fetcher {
 public:
    bool fetch(StateBuilder& builder, const Checkpoints& from, const StateRoot& target, std::size_t most) {
        for (const Bucket bucket : wanted(from, target)) {
            const auto digests = must(from.subtree(target.height, 1 + bucket / 256));
            if (builder.done(bucket) == digests[bucket % 256]) {
                continue;
            }
            if (most-- == 0) {
                return false;
            }
            const auto leaves = must(from.leaves(target.height, bucket));
            const auto names = lacking(builder, bucket, leaves);
            must(builder.put(bucket, leaves, must(from.records(target.height, names, 1U << 20U))));
        }
        return true;
    }

 private:
    // Those that hold something there, or ever did.
    const std::set<Bucket>& wanted(const Checkpoints& from, const StateRoot& target) {
        const auto top = must(from.subtree(target.height, 0));
        for (std::uint32_t part = 0; part < subtree_digests && seen_ != target; ++part) {
            const auto digests =
                top[part].is_zero() ? std::vector<crypto::Digest>() : must(from.subtree(target.height, 1 + part));
            for (std::uint32_t i = 0; i < digests.size(); ++i) {
                if (!digests[i].is_zero()) {
                    wanted_.insert(part * 256 + i);
                }
            }
        }
        seen_ = target;
        return wanted_;
    }

    std::set<Bucket> wanted_;
    StateRoot seen_;
};

void check_same_future(Chain& chain, CheckpointedReplica& a, CheckpointedReplica& b) {
    const std::uint64_t from = b.machine().executed().value;
    const auto digests = a.machine().recent_digests();
    a.execute_to(from);
    const std::uint64_t end = from + 2 * test_interval;
    for (CheckpointedReplica* replica : {&a, &b}) {
        while (replica->machine().executed().value < end) {
            (void)replica->execute();
        }
        replica->flush();
        replica->work_all(3);
    }
    RC_ASSERT(a.machine().recent_digests() == b.machine().recent_digests());
    RC_ASSERT(a.checkpoints().roots().back() == chain.root(a.checkpoints().roots().back().height.value));
    RC_ASSERT(a.checkpoints().roots().back() == b.checkpoints().roots().back());
    for (const StateRoot& root : b.checkpoints().roots()) {
        RC_ASSERT(b.served(root) == chain.records(root.height.value));
    }
}

RC_GTEST_PROP(StateBuilders, build_what_the_checkpoint_was_through_interruptions_and_newer_targets, ()) {
    Chain chain;
    CheckpointedReplica server(chain);
    const std::uint64_t height = test::pick<std::uint64_t>(1, 4) * test_interval;
    server.execute_to(height);
    server.flush();
    server.work_all();
    StateRoot target = server.checkpoints().roots().back();

    auto store = std::make_unique<MemoryStore>();
    Fetcher fetcher;
    constexpr BuilderLimits small{3, 400, 100};
    auto builder = must(StateBuilder::begin(*store, checkpoint_options(), target, small));
    bool moved_on = false;
    // While it is put together and, when all is there, while it is put in its place.
    const auto goes_on = [&] {
        if (!fetcher.fetch(*builder, server.checkpoints(), target, test::pick<std::size_t>(1, 8))) {
            return true;
        }
        store->commits_left = test::pick<std::size_t>(0, 40);
        const auto finished = builder->finish();
        store->commits_left.reset();
        RC_ASSERT(finished || finished.error().code == Errc::disk_full);
        return !finished;
    };
    while (goes_on()) {
        switch (test::pick(0, 4)) {
            case 0:  // the process dies
                builder.reset();
                store->crash(test::pick<std::size_t>(0, 3));
                builder = must(StateBuilder::begin(*store, checkpoint_options(), target, small));
                break;
            case 1:  // the server moves on
                if (!std::exchange(moved_on, true)) {
                    server.execute_to(height + test_interval + 1);
                    server.flush();
                    server.work_all();
                    server.checkpoints().release_below(Height(height + test_interval));
                    target = server.checkpoints().roots().back();
                    builder = must(StateBuilder::begin(*store, checkpoint_options(), target, small));
                }
                break;
            default: break;
        }
        const auto opened = StateMachine::open(*store, test::machine_with_checkpoints());
        RC_ASSERT(!opened.has_value());
        RC_ASSERT(opened.error().code == Errc::unavailable);
        RC_ASSERT(Checkpoints::open(*store, checkpoint_options()).error().code == Errc::unavailable);
    }
    builder.reset();
    RC_ASSERT(store->tables[runs_table].empty());
    RC_ASSERT(test::records_of(*store) == chain.records(target.height.value));
    CheckpointedReplica built(chain, std::move(store));
    RC_ASSERT(built.machine().executed() == target.height);
    RC_ASSERT(built.checkpoints().roots() == std::vector<StateRoot>{target});
    RC_ASSERT(built.served(target) == chain.records(target.height.value));
    check_same_future(chain, server, built);
}

RC_GTEST_PROP(StateBuilders, give_the_empty_state_of_genesis, ()) {
    Chain chain;
    auto store = std::make_unique<MemoryStore>();
    must(must(StateBuilder::begin(*store, checkpoint_options(), StateRoot{}))->finish());
    CheckpointedReplica built(chain, std::move(store));
    RC_ASSERT(built.machine().executed() == Height(0));
    RC_ASSERT(built.checkpoints().roots().empty());
    CheckpointedReplica other(chain);
    check_same_future(chain, other, built);
}

// A genesis of two keys and the meta record of height 0, as a restored cluster has it.
std::vector<StateRecord> restored_genesis() {
    StateMeta meta;
    meta.revision = Revision(2);
    meta.digests.emplace_back(Height(0), crypto::Digest{});
    KeyRecord record;
    record.id.revision = record.created = Revision(1);
    record.version = 1;
    record.value = bytes_of("old");
    return {{StateTable::keys, bytes_of("a"), encode_key_record(record.view())},
            {StateTable::keys, bytes_of("b"), encode_key_record(record.view())},
            {StateTable::meta, bytes_of(meta_key), encode_meta(meta)}};
}

StateRoot root_of_records(const std::vector<StateRecord>& records, Height height = Height(0)) {
    test::Records all;
    for (const StateRecord& record : records) {
        all[{record.table, record.key}] = record.content;
    }
    return {height, test::root_of(all)};
}

Result<void> put_each(StateBuilder& builder, const std::vector<StateRecord>& records) {
    for (const StateRecord& record : records) {
        const Leaf leaf{leaf_name(test::test_salt, record.table, record.key),
                        leaf_digest(record.table, record.key, record.content)};
        if (auto done = builder.put(bucket_of(leaf.name), {leaf}, {record}); !done) {
            return done;
        }
    }
    return {};
}

TEST(StateBuilders, give_a_genesis_that_is_not_empty) {
    const auto records = restored_genesis();
    MemoryStore store;
    const auto builder = must(StateBuilder::begin(store, checkpoint_options(), root_of_records(records)));
    must(put_each(*builder, records));
    must(builder->finish());
    const auto machine = must(StateMachine::open(store, test::machine_with_checkpoints()));
    EXPECT_EQ(machine->executed(), Height(0));
    EXPECT_EQ(machine->revision(), Revision(2));
    EXPECT_EQ(must(decode_range_result(must(decode_query_answer(must(machine->read(test::get("a"))).result)).result))
                  .items.size(),
              1U);
    const auto checkpoints = must(Checkpoints::open(store, checkpoint_options()));
    EXPECT_TRUE(checkpoints->roots().empty());
    EXPECT_EQ(node_digest(must(checkpoints->subtree(Height(0), 0))), root_of_records(records).root);
}

TEST(StateBuilders, the_genesis_of_a_restored_cluster_is_under_its_first_root) {
    EXPECT_TRUE(rc::check([] {
        const auto records = restored_genesis();
        MemoryStore store;
        const auto builder = must(StateBuilder::begin(store, checkpoint_options(), root_of_records(records)));
        must(put_each(*builder, records));
        must(builder->finish());
        const auto machine = must(StateMachine::open(store, test::machine_with_checkpoints()));
        const auto checkpoints = must(Checkpoints::open(store, checkpoint_options()));
        Chain chain;
        for (std::uint64_t height = 1; height <= test_interval; ++height) {
            (void)must(machine->execute(*chain.at(height)));
        }
        RC_ASSERT(machine->freeze());
        must(machine->write_frozen(Durability::synced));
        machine->drop_frozen();
        while (must(checkpoints->work(100))) {
        }
        const StateRoot expected{Height(test_interval), test::root_of(test::records_of(store))};
        RC_ASSERT(checkpoints->roots().back() == expected);
    }));
}

// ---- What must not get through

TEST(StateBuilders, refuse_a_store_that_is_in_use) {
    MemoryStore store;
    must(must(StateBuilder::begin(store, checkpoint_options(), StateRoot{}))->finish());
    EXPECT_EQ(StateBuilder::begin(store, checkpoint_options(), StateRoot{}).error().code, Errc::conflict);
    MemoryStore other;
    EXPECT_EQ(StateBuilder::begin(other, checkpoint_options(), {Height(3), {}}).error().code, Errc::invalid_argument);
}

TEST(StateBuilders, refuse_leaves_and_records_that_do_not_fit) {
    const auto records = restored_genesis();
    MemoryStore store;
    const auto builder = must(StateBuilder::begin(store, checkpoint_options(), root_of_records(records)));
    const StateRecord& record = records[0];
    const Leaf leaf{leaf_name(test::test_salt, record.table, record.key),
                    leaf_digest(record.table, record.key, record.content)};
    const Bucket bucket = bucket_of(leaf.name);
    EXPECT_EQ(builder->put(bucket, {leaf}, {}).error().code, Errc::invalid_argument);
    EXPECT_EQ(builder->put(bucket, {leaf}, {record, records[1]}).error().code, Errc::invalid_argument);
    EXPECT_EQ(builder->put(bucket ^ 1U, {leaf}, {record}).error().code, Errc::invalid_argument);
    StateRecord changed = record;
    changed.content.back() = static_cast<std::uint8_t>(changed.content.back() ^ 1U);
    EXPECT_EQ(builder->put(bucket, {leaf}, {changed}).error().code, Errc::invalid_argument);
    EXPECT_TRUE(builder->put(bucket, {leaf}, {record}));
}

TEST(StateBuilders, do_not_finish_with_another_root_or_height) {
    const auto records = restored_genesis();
    MemoryStore store;
    auto builder = must(StateBuilder::begin(store, checkpoint_options(), root_of_records(records)));
    must(put_each(*builder, {records[0], records[2]}));
    EXPECT_EQ(builder->finish().error().code, Errc::corrupted);
    EXPECT_FALSE(StateMachine::open(store, test::machine_with_checkpoints()));
    must(put_each(*builder, {records[1]}));  // what was there stays
    EXPECT_TRUE(builder->finish());

    MemoryStore other;  // the root fits, but the records are of height 0
    builder = must(StateBuilder::begin(other, checkpoint_options(), root_of_records(records, Height(test_interval))));
    must(put_each(*builder, records));
    EXPECT_EQ(builder->finish().error().code, Errc::corrupted);
}

TEST(StateBuilders, read_back_what_they_wrote_before_they_finish) {
    const auto records = restored_genesis();
    const auto damage_of = [&](const auto& damage) {
        MemoryStore store;
        auto builder = must(StateBuilder::begin(store, checkpoint_options(), root_of_records(records)));
        must(put_each(*builder, records));
        // One more, and away again: everything is in the store now.
        must(builder->finish());
        store.crash(0);
        auto txn = must(store.begin_write());
        must(write_transfer(*txn, root_of_records(records)));
        must(txn->commit(Durability::synced));
        damage(store);
        builder = must(StateBuilder::begin(store, checkpoint_options(), root_of_records(records)));
        return builder->finish();
    };
    EXPECT_TRUE(damage_of([](MemoryStore&) {}));
    const auto noticed = [&](const auto& damage) {
        const auto finished = damage_of(damage);
        return !finished && finished.error().code == Errc::corrupted;
    };
    EXPECT_TRUE(noticed([](MemoryStore& store) { store.tables[keys_table][bytes_of("a")].back() ^= 1U; }));
    EXPECT_TRUE(noticed([](MemoryStore& store) { store.tables[keys_table].erase(bytes_of("a")); }));
    EXPECT_TRUE(noticed([](MemoryStore& store) { store.tables[leaves_table].begin()->second.back() ^= 1U; }));
    EXPECT_TRUE(
        noticed([](MemoryStore& store) { store.tables[leaves_table].erase(store.tables[leaves_table].begin()); }));
    EXPECT_TRUE(noticed([](MemoryStore& store) {
        const auto txn = must(store.begin_write());
        must(linked_table(StateTable::keys).put(*txn, view_of("more"), view_of("than there should be")));
        must(txn->commit(Durability::synced));
    }));
}

}  // namespace
}  // namespace loyal::kvstore

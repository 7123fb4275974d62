// Roots of checkpoints against a full recomputation, whatever the batches and wherever the process died; what is served
// of a checkpoint while the state goes on; and what the scrubber finds.
#include "kvstore/checkpoints.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/kvstore/checkpoint_support.h"

namespace loyal::kvstore {
namespace {

using consensus::Height;
using test::Chain;
using test::CheckpointedReplica;
using test::must;
using test::test_interval;

// Freezes, writes, checkpoints and crashes wherever they fall.
void live(CheckpointedReplica& replica, std::uint64_t height) {
    while (replica.machine().executed().value < height) {
        (void)replica.execute();
        switch (test::pick(0, 8)) {
            case 0: replica.flush(); break;
            case 1: replica.flush(Durability::synced); break;
            case 2:
            case 3:
            case 4: (void)must(replica.checkpoints().work(test::pick<std::size_t>(1, 4))); break;
            case 5: replica.crash(test::pick<std::size_t>(0, 4)); break;
            default: break;
        }
    }
}

RC_GTEST_PROP(CheckpointRoots, are_those_of_the_whole_state, ()) {
    Chain chain;
    CheckpointedReplica replica(chain);
    const std::uint64_t checkpoints = test::pick<std::uint64_t>(1, 5);
    live(replica, checkpoints * test_interval + test::pick<std::uint64_t>(0, test_interval));
    replica.flush();
    replica.work_all(test::pick<std::size_t>(1, 10));
    const auto roots = replica.checkpoints().roots();
    RC_ASSERT(!roots.empty());
    RC_ASSERT(roots.back().height == Height(checkpoints * test_interval));
    for (const StateRoot& root : roots) {
        RC_ASSERT(root == chain.root(root.height.value));
        RC_ASSERT(replica.served(root) == chain.records(root.height.value));
    }
}

// Between any two steps: what is kept stays readable, and a crash costs nothing but work.
RC_GTEST_PROP(CheckpointRoots, stay_readable_while_the_next_one_is_taken, ()) {
    Chain chain;
    CheckpointedReplica replica(chain);
    const std::uint64_t first = test::pick<std::uint64_t>(1, 4) * test_interval;
    replica.execute_to(first);
    replica.flush();
    replica.work_all();
    replica.execute_to(first + test_interval + test::pick<std::uint64_t>(0, 3));
    replica.flush();
    for (bool more = true; more;) {
        const auto roots = replica.checkpoints().roots();
        RC_ASSERT(!roots.empty() && roots.size() <= 2U);
        if (test::one_in(4)) {
            const StateRoot& root = *rc::gen::elementOf(roots);
            RC_ASSERT(replica.served(root) == chain.records(root.height.value));
        }
        more = must(replica.checkpoints().work(test::pick<std::size_t>(1, 6)));
        if (test::one_in(6)) {
            replica.crash(test::pick<std::size_t>(0, 3));
            replica.execute_to(first + test_interval);
            replica.flush();
            more = true;
        }
    }
    const auto roots = replica.checkpoints().roots();
    RC_ASSERT(roots.size() == 2U);
    RC_ASSERT(roots[0] == chain.root(first));
    RC_ASSERT(roots[1] == chain.root(first + test_interval));
}

// Always written back, with all checkpoints taken.
struct FixedReplica {
    FixedReplica() : replica(chain) {}
    void to(std::uint64_t height) {
        replica.execute_to(height);
        replica.flush();
        replica.work_all();
    }
    Chain chain;
    CheckpointedReplica replica;
};

RC_GTEST_PROP(Checkpoints, are_forgotten_when_a_newer_one_is_stable, ()) {
    FixedReplica fixed;
    fixed.to(2 * test_interval + 1);
    auto& checkpoints = fixed.replica.checkpoints();
    RC_ASSERT(checkpoints.roots().size() == 2U);
    const auto rows = [&](std::uint64_t base) {
        std::size_t count = 0;
        for (const auto& [key, value] : fixed.replica.store().tables[pre_table]) {
            count += must(parse_pre_key(key)).first == Height(base) ? 1U : 0U;
        }
        return count;
    };
    RC_ASSERT(rows(0) == 0U);
    RC_ASSERT(rows(test_interval) > 0U);
    checkpoints.release_below(Height(2 * test_interval));
    RC_ASSERT(checkpoints.roots().size() == 1U);
    RC_ASSERT(checkpoints.leaves(Height(test_interval), 0).error().code == Errc::not_found);
    const std::size_t before = rows(test_interval);
    RC_ASSERT(must(checkpoints.work(2)));
    RC_ASSERT(rows(test_interval) == before - 2);  // a little with each step
    fixed.replica.work_all();
    RC_ASSERT(rows(test_interval) == 0U);
    RC_ASSERT(rows(2 * test_interval) > 0U);
    fixed.replica.crash(0);
    RC_ASSERT(fixed.replica.checkpoints().roots().size() == 1U);
    fixed.replica.checkpoints().release_below(Height(1000));  // the newest one stays
    RC_ASSERT(fixed.replica.checkpoints().roots().size() == 1U);
}

// Under load one comes every moment, and a replica that fetches one could otherwise never end.
RC_GTEST_PROP(Checkpoints, stay_readable_beyond_their_time_while_somebody_fetches_them, ()) {
    FixedReplica fixed;
    fixed.to(2 * test_interval + 1);
    const auto& checkpoints = fixed.replica.checkpoints();
    const StateRoot fetched = checkpoints.roots().front();
    const auto expected = fixed.chain.records(fetched.height.value);
    std::uint64_t height = 2;
    for (const std::uint64_t until = height + test::pick<std::uint64_t>(1, 4); height < until;) {
        RC_ASSERT(fixed.replica.served(fetched) == expected);
        fixed.to(++height * test_interval + 1);
        RC_ASSERT(checkpoints.roots().front().height > fetched.height);
        RC_ASSERT(checkpoints.roots().back() == fixed.chain.root(height * test_interval));
    }
    RC_ASSERT(fixed.replica.served(fetched) == expected);
    // Nobody asks any more, from one checkpoint to the next.
    fixed.to(++height * test_interval + 1);
    fixed.to(++height * test_interval + 1);
    RC_ASSERT(checkpoints.leaves(fetched.height, 0).error().code == Errc::not_found);
    const auto& rows = fixed.replica.store().tables[pre_table];
    RC_ASSERT(must(parse_pre_key(rows.begin()->first)).first == checkpoints.roots().front().height);
}

TEST(Checkpoints, stay_readable_for_so_many_intervals_at_most) {
    bool checked = false;
    EXPECT_TRUE(rc::check([&] {
        if (std::exchange(checked, true)) {
            return;
        }
        FixedReplica fixed;
        fixed.to(2 * test_interval + 1);
        const auto& checkpoints = fixed.replica.checkpoints();
        const StateRoot fetched = checkpoints.roots().front();
        std::uint64_t height = 2;
        while (height < 100 && checkpoints.subtree(fetched.height, 0)) {
            fixed.to(++height * test_interval);
        }
        RC_ASSERT(height > 32U);
        RC_ASSERT(height < 37U);
    }));
}

TEST(Checkpoints, nothing_is_taken_before_the_store_has_the_checkpoint) {
    EXPECT_TRUE(rc::check([] {
        FixedReplica fixed;
        fixed.replica.execute_to(test_interval - 1);
        fixed.replica.flush();
        (void)fixed.replica.execute();
        RC_ASSERT(fixed.replica.machine().freeze_due());
        RC_ASSERT(!must(fixed.replica.checkpoints().work(100)));
        fixed.replica.flush();
        RC_ASSERT(!fixed.replica.machine().freeze_due());
        RC_ASSERT(must(fixed.replica.checkpoints().work(100)));
    }));
}

TEST(Checkpoints, a_block_behind_a_checkpoint_waits_for_the_freeze) {
    EXPECT_TRUE(rc::check([] {
        FixedReplica fixed;
        fixed.replica.execute_to(test_interval);
        const auto& machine = fixed.replica.machine();
        RC_ASSERT(machine.freeze_due());
        fixed.replica.flush();
        RC_ASSERT(!machine.freeze_due());
    }));
    EXPECT_DEATH(
        {
            Chain chain;
            CheckpointedReplica replica(chain);
            rc::check([&] {
                replica.execute_to(test_interval);
                (void)must(replica.machine().execute(*chain.at(test_interval + 1)));
            });
        },
        "a generation ends at each checkpoint");
}

TEST(Checkpoints, without_an_interval_nothing_is_kept) {
    test::MemoryStore store;
    const auto machine = must(StateMachine::open(store, test::two_clients()));
    const auto checkpoints = must(Checkpoints::open(store, {test::test_salt, 0}));
    EXPECT_TRUE(rc::check([&] {
        Chain chain;
        if (machine->executed() == Height(0)) {
            (void)must(machine->execute(*chain.at(1)));
        }
        (void)machine->freeze();
    }));
    must(machine->write_frozen(Durability::lazy));
    EXPECT_TRUE(store.tables[pre_table].empty());
    EXPECT_FALSE(must(checkpoints->work(10)));
    EXPECT_TRUE(checkpoints->roots().empty());
}

// ---- Damage

TEST(CheckpointDamage, is_served_to_nobody) {
    EXPECT_TRUE(rc::check([] {
        FixedReplica fixed;
        fixed.to(2 * test_interval + 2);
        const auto roots = fixed.replica.checkpoints().roots();
        const auto table = *rc::gen::elementOf(std::vector<TableIndex>{keys_table, pre_table, leaves_table});
        auto& rows = fixed.replica.store().tables[table];
        const auto damaged =
            std::next(rows.begin(), test::pick<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(rows.size())));
        if (*rc::gen::arbitrary<bool>()) {
            rows.erase(damaged);  // hidden
        } else {
            damaged->second[test::pick<std::size_t>(0, damaged->second.size())] ^= 1U;
        }
        for (const StateRoot& root : roots) {
            try {
                RC_ASSERT(fixed.replica.served(root) == fixed.chain.records(root.height.value));
            } catch (const std::runtime_error&) {
                // noticed
            }
        }
    }));
}

TEST(CheckpointDamage, a_bucket_that_does_not_give_its_digest_is_an_error_and_not_an_answer) {
    EXPECT_TRUE(rc::check([] {
        FixedReplica fixed;
        fixed.to(test_interval);
        auto& rows = fixed.replica.store().tables[leaves_table];
        const Bucket bucket = must(parse_bucket_key(rows.begin()->first));
        const auto sound = must(fixed.replica.checkpoints().leaves(Height(test_interval), bucket));
        rows.erase(rows.begin());  // hidden
        const auto leaves = fixed.replica.checkpoints().leaves(Height(test_interval), bucket);
        RC_ASSERT(!leaves.has_value());
        RC_ASSERT(leaves.error().code == Errc::corrupted);
        const auto records = fixed.replica.checkpoints().records(Height(test_interval), {sound.front().name}, 1000);
        RC_ASSERT(!records.has_value());
        RC_ASSERT(records.error().code == Errc::corrupted);
    }));
}

// Seed 208819 of the simulator: the root was that of what the key held later, and a leader in crash mode told it to
// all.
TEST(CheckpointDamage, a_hidden_record_of_what_changed_is_missed_when_the_next_one_is_taken) {
    EXPECT_TRUE(rc::check([] {
        FixedReplica fixed;
        fixed.to(test_interval);
        fixed.replica.execute_to(2 * test_interval + 1);
        fixed.replica.flush();
        auto& rows = fixed.replica.store().tables[pre_table];
        const auto begin = rows.lower_bound(pre_key(Height(test_interval), {}));
        const auto end = rows.lower_bound(pre_key(Height(2 * test_interval), {}));
        rows.erase(std::next(begin, test::pick<std::ptrdiff_t>(0, std::distance(begin, end))));
        const auto records_max = test::pick<std::size_t>(1, 20);
        Result<bool> worked = true;
        while (worked && *worked) {
            worked = fixed.replica.checkpoints().work(records_max);
        }
        RC_ASSERT(!worked.has_value());
        RC_ASSERT(worked.error().code == Errc::corrupted);
    }));
}

std::vector<std::string> scrub_once(Checkpoints& checkpoints) {
    std::vector<std::string> found;
    for (std::size_t steps = 0; steps < 10'000; ++steps) {
        const auto step = must(checkpoints.scrub(7));
        EXPECT_LE(step.records, 7U);
        if (step.damage) {
            found.push_back(*step.damage);
        }
        if (step.wrapped) {
            break;
        }
    }
    return found;
}

TEST(Scrub, finds_nothing_in_a_sound_state) {
    EXPECT_TRUE(rc::check([] {
        FixedReplica fixed;
        live(fixed.replica, test::pick<std::uint64_t>(1, 3 * test_interval));
        RC_ASSERT(scrub_once(fixed.replica.checkpoints()).empty());
        RC_ASSERT(scrub_once(fixed.replica.checkpoints()).empty());  // and starts anew
    }));
}

TEST(Scrub, finds_every_flipped_bit) {
    EXPECT_TRUE(rc::check([] {
        FixedReplica fixed;
        fixed.to(2 * test_interval + 2);
        std::vector<TableIndex> tables;
        for (TableIndex table = 0; table < StateMachine::state_tables().size(); ++table) {
            if (table != runs_table && !fixed.replica.store().tables[table].empty()) {
                tables.push_back(table);
            }
        }
        RC_ASSERT(std::count(tables.begin(), tables.end(), history_table) == 1);
        auto& rows = fixed.replica.store().tables[*rc::gen::elementOf(tables)];
        const auto damaged =
            std::next(rows.begin(), test::pick<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(rows.size())));
        Bytes& value = damaged->second;
        const auto bit = test::pick<std::size_t>(0, 8 * value.size());
        value[bit / 8] = static_cast<std::uint8_t>(value[bit / 8] ^ 1U << bit % 8);
        RC_ASSERT(!scrub_once(fixed.replica.checkpoints()).empty());
    }));
}

TEST(Scrub, finds_hidden_records_of_the_state) {
    EXPECT_TRUE(rc::check([] {
        FixedReplica fixed;
        fixed.to(test_interval + 1);
        std::vector<TableIndex> tables;
        for (const RootedTable& rooted : rooted_tables) {
            if (!fixed.replica.store().tables[rooted.table.index()].empty()) {
                tables.push_back(rooted.table.index());
            }
        }
        auto& rows = fixed.replica.store().tables[*rc::gen::elementOf(tables)];
        rows.erase(std::next(rows.begin(), test::pick<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(rows.size()))));
        RC_ASSERT(!scrub_once(fixed.replica.checkpoints()).empty());
    }));
}

// Bad memory: sealed and linked as it should be, but not what was executed.
TEST(Scrub, finds_a_record_that_is_not_the_one_whose_digest_was_kept) {
    EXPECT_TRUE(rc::check([] {
        FixedReplica fixed;
        fixed.to(test_interval);
        const auto txn = must(fixed.replica.store().begin_write());
        LinkedCursor cursor(linked_table(StateTable::sessions), *txn);
        must(cursor.start({}));
        const Bytes key(cursor.entry()->key.begin(), cursor.entry()->key.end());
        must(linked_table(StateTable::sessions).put(*txn, key, encode_session(Session())));
        must(txn->commit(Durability::synced));
        const auto found = scrub_once(fixed.replica.checkpoints());
        RC_ASSERT(found.size() == 1U);
        RC_ASSERT(found[0].find("sessions") != std::string::npos);
    }));
}

}  // namespace
}  // namespace loyal::kvstore

// The state machine against a reference model: the same operations must give the same outcomes and answers, wherever
// the data happens to be (active, frozen, stored), and a crash must give back exactly the durable height, from which
// the same blocks lead to the same digests. A second replica, which never crashes and writes its data at other times,
// ends with the same bytes.
//
// For a long run: RC_PARAMS="max_success=20000 max_size=200", and how many operations that were is printed at the end.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <array>

#include "kvstore/kv_tables.h"
#include "kvstore/linked_table.h"
#include "sim/checkers/reference_model.h"
#include "tests/unit/kvstore/operation_generator.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using sim::ReferenceModel;
using test::envelope_of;
using test::Machine;
using test::maybe;
using test::must;
using test::OperationGenerator;
using test::pick;
using test::Submission;
using test::up_to;

// Everything that happened since the last restart, to be compared with what a replay gives.
struct Executed {
    consensus::BlockPtr block;
    ExecutedBlock result;
};

void check_same(const ExecutedBlock& a, const ExecutedBlock& b) {
    RC_ASSERT(a.digest == b.digest);
    RC_ASSERT(a.replies.size() == b.replies.size());
    for (std::size_t i = 0; i < a.replies.size(); ++i) {
        RC_ASSERT(a.replies[i].outcomes == b.replies[i].outcomes);
    }
    RC_ASSERT(*a.changes == *b.changes);
    RC_ASSERT(a.due == b.due);
}

std::vector<std::pair<Bytes, Bytes>> contents_of(Machine& machine, const LinkedTable& table) {
    std::vector<std::pair<Bytes, Bytes>> records;
    const auto txn = must(machine.store().begin_read());
    LinkedCursor cursor(table, *txn);
    for (must(cursor.start({})); cursor.entry(); must(cursor.advance())) {
        const auto& entry = *cursor.entry();
        records.emplace_back(Bytes(entry.key.begin(), entry.key.end()),
                             Bytes(entry.content.begin(), entry.content.end()));
    }
    return records;
}

// Nothing is frozen in either.
void check_same_state(Machine& a, Machine& b) {
    a.flush();
    b.flush();
    for (const RootedTable& rooted : rooted_tables) {
        RC_ASSERT(contents_of(a, rooted.table) == contents_of(b, rooted.table));
    }
}

// What a watcher of everything would have been told, from the history alone, is what the blocks changed.
void check_history(const Machine& machine, const std::vector<Executed>& executed) {
    std::vector<Change> all;
    for (const Executed& each : executed) {
        all.insert(all.end(), each.result.changes->begin(), each.result.changes->end());
    }
    const Revision compacted = (*const_cast<Machine&>(machine)).compacted();
    ChangeQuery query;
    query.after = {compacted, std::numeric_limits<std::uint32_t>::max()};
    query.end = Bytes();
    query.changes_max = 7;
    std::vector<Change> told;
    for (;;) {
        const ChangePage page = must((*const_cast<Machine&>(machine)).changes(query));
        RC_ASSERT(!page.compacted);
        told.insert(told.end(), page.changes.begin(), page.changes.end());
        if (!page.more) {
            break;
        }
        RC_ASSERT(page.upto > query.after);
        query.after = page.upto;
    }
    std::erase_if(all, [&](const Change& change) { return change.now.id.revision <= compacted; });
    RC_ASSERT(told.size() == all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        RC_ASSERT(told[i].now == all[i].now);
        RC_ASSERT(told[i].key == all[i].key);
        RC_ASSERT(told[i].previous == all[i].previous);
    }
}

std::uint64_t operations_compared = 0;

RC_GTEST_PROP(StateModel, behaves_as_the_reference_model_through_freezes_and_crashes, ()) {
    Machine machine;
    Machine other;
    ReferenceModel model;
    const OperationGenerator generate([&model] { return model.revision(); });
    std::vector<Executed> history;
    std::array<std::uint64_t, 2> seq{1, 1};
    std::uint64_t now = test::start_ms;
    bool is_frozen = false;
    bool is_written = false;
    const auto blocks = up_to(25);
    for (std::uint64_t i = 0; i < blocks; ++i) {
        Submission submission;
        const std::size_t who = up_to(4) == 0 ? 1 : 0;
        submission.key = test::key_of(who == 0 ? 'a' : 'b');
        const consensus::ClientId client = consensus::client_id_of(submission.key);
        now += pick<std::uint64_t>({1, 1, 700, 1'500, 5'000});
        submission.not_after = consensus::Hlc(now + 60'000, 0);
        submission.seq0 = submission.ack_low = seq[who];
        // The model is asked while operations are made, because they look at its revision.
        model.begin_block(consensus::Hlc(now, std::uint16_t{0}));
        std::vector<ReferenceModel::Answer> expected;
        std::vector<Revision> revisions;
        for (std::uint64_t left = up_to(10) + 1; left > 0; --left) {
            submission.operations.push_back(generate.operation());
            expected.push_back(model.apply(submission.operations.back(), client));
            revisions.push_back(model.revision());
        }
        model.end_block();
        seq[who] += submission.operations.size();
        operations_compared += submission.operations.size();
        const auto result = machine.execute_at({envelope_of(submission)}, now);
        history.push_back({machine.chain().back(), result});
        check_same(other.execute(machine.chain().back()), result);
        for (std::size_t at = 0; at < submission.operations.size(); ++at) {
            const Outcome& outcome = result.replies.at(0).outcomes.at(at);
            RC_ASSERT(outcome.status == expected[at].status);
            RC_ASSERT(outcome.result == expected[at].result);
            RC_ASSERT(outcome.revision == revisions[at]);
        }
        RC_ASSERT(result.revision == model.revision());
        RC_ASSERT(result.due.has_value() == (model.leases() > 0));

        switch (up_to(6)) {
            case 0: is_frozen = machine->freeze() || is_frozen; break;
            case 1:
                if (is_frozen) {
                    must(machine->write_frozen(maybe() ? Durability::synced : Durability::lazy));
                    is_written = true;
                }
                break;
            case 2:
                if (is_written) {
                    machine->drop_frozen();
                    is_frozen = is_written = false;
                }
                break;
            case 3: {  // the process dies: what was written is there, whole, and nothing else
                machine.reopen();
                is_frozen = is_written = false;
                for (std::size_t at = machine->executed().value; at < history.size(); ++at) {
                    check_same(machine.execute(history[at].block), history[at].result);
                }
                break;
            }
            case 4: other.flush(); break;
            default: break;
        }
        const Query query = generate.query();
        const QueryAnswer answer = machine.ask(query);
        RC_ASSERT((ReferenceModel::Answer{answer.status, answer.result}) == model.query(query));
    }
    check_history(machine, history);
    if (is_frozen && !is_written) {
        must(machine->write_frozen(Durability::lazy));
    }
    if (is_frozen) {
        machine->drop_frozen();
    }
    if (blocks > 0) {
        check_same_state(machine, other);
    }
}

TEST(StateModel, says_how_much_was_compared) {
    RecordProperty("operations", std::to_string(operations_compared));
    std::printf("%llu operations compared\n", static_cast<unsigned long long>(operations_compared));
}

}  // namespace
}  // namespace loyal::kvstore

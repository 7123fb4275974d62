// kill -9 in the middle of writing: whatever was acknowledged is there afterwards, in order and whole.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using test::must;
using test::TemporaryFolder;

// Runs `work` in a child that reports each finished step through a pipe, kills it after `steps` of them, and returns
// how many steps it had reported.
template <class Work>
int killed_after(int steps, Work work) {
    int ends[2];
    if (::pipe(ends) != 0) {
        throw std::runtime_error("pipe");
    }
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        work([&] {
            const char done = 1;
            if (::write(ends[1], &done, 1) != 1) {
                ::_exit(1);
            }
        });
        ::_exit(0);
    }
    ::close(ends[1]);
    char done = 0;
    int finished = 0;
    while (finished < steps && ::read(ends[0], &done, 1) == 1) {
        ++finished;
    }
    ::kill(child, SIGKILL);
    while (::read(ends[0], &done, 1) == 1) {
        ++finished;
    }
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    return finished;
}

TEST(Crash, the_log_keeps_every_appended_group_and_its_voting_state) {
    for (const int steps : {1, 7, 30}) {
        const TemporaryFolder folder;
        const int finished = killed_after(steps, [&](auto report) {
            auto store = test::open_log_store(folder.path());
            auto log = must(ConsensusLog::open(*store, test::test_context()));
            consensus::BlockPtr block;
            for (std::uint64_t i = 1;; ++i) {
                block = test::block_on(block, {}, test::start_ms + i);
                consensus::VotingState voting;
                voting.prep = {consensus::View(0), block->ref()};
                voting.lock.block = consensus::genesis_block(test::test_context());
                must(log->append({{consensus::PersistId(i), {consensus::BlockRecord{block}, voting}}}));
                report();
            }
        });
        auto store = test::open_log_store(folder.path());
        const auto log = must(ConsensusLog::open(*store, test::test_context()));
        const auto recovered = must(log->recover(consensus::BlockRef()));
        ASSERT_FALSE(recovered.fresh);
        const auto height = recovered.voting.prep.block.height.value;
        EXPECT_GE(height, static_cast<std::uint64_t>(finished));
        EXPECT_EQ(recovered.blocks.size(), height);
    }
}

TEST(Crash, a_log_that_forgets_loses_nothing_that_is_still_needed) {
    for (const int steps : {90, 130, 170}) {
        const TemporaryFolder folder;
        const int finished = killed_after(steps, [&](auto report) {
            auto store = test::open_log_store(folder.path());
            auto log = must(ConsensusLog::open(*store, test::test_context()));
            consensus::NewView entered;
            entered.view = consensus::View(1);
            entered.base.block = consensus::genesis_block(test::test_context());
            must(log->append({{consensus::PersistId(1), {consensus::NewViewRecord{entered}}}}));
            consensus::BlockPtr block;
            for (std::uint64_t i = 1;; ++i) {
                block = test::block_on(block, {}, test::start_ms + i);
                consensus::VotingState voting;
                voting.promised = voting.entered = consensus::View(1);
                voting.prep = {consensus::View(0), block->ref()};
                voting.lock.block = entered.base.block;
                must(log->append(
                    {{consensus::PersistId(i + 1),
                      {consensus::BlockRecord{block}, consensus::CommitRecord{block->ref(), {}}, voting}}}));
                log->release_below(block->header.height);
                report();
            }
        });
        auto store = test::open_log_store(folder.path());
        const auto log = must(ConsensusLog::open(*store, test::test_context()));
        EXPECT_TRUE(log->damage().empty());
        const auto height = log->committed();
        EXPECT_GE(height.value, static_cast<std::uint64_t>(finished));
        EXPECT_GE(log->first_height().value + 2 * limits::window_max + 2, static_cast<std::uint64_t>(finished));
        const auto recovered = must(log->recover((*must(log->committed_block(height)))->ref()));
        EXPECT_FALSE(recovered.voting.amnesiac);
        EXPECT_EQ(recovered.voting.prep.block.height, height);
        EXPECT_TRUE(recovered.new_view.has_value());
        EXPECT_EQ(recovered.blocks.size(), 2 * limits::window_max);
    }
}

TEST(Crash, the_state_is_at_the_height_of_a_whole_batch) {
    for (const int steps : {1, 5, 20}) {
        const TemporaryFolder folder;
        const int finished = killed_after(steps, [&](auto report) {
            auto store = test::open_kv(folder.path());
            auto machine = must(StateMachine::open(*store, test::two_clients()));
            consensus::BlockPtr block;
            for (std::uint64_t i = 1;; ++i) {
                test::Submission submission;
                submission.seq0 = 2 * i;
                submission.ack_low = 2 * i;
                submission.operations = {test::put("one", std::to_string(i)), test::put("two", std::to_string(i))};
                block = test::block_on(block, {test::envelope_of(submission)}, test::start_ms + i);
                (void)must(machine->execute(*block));
                (void)machine->freeze();
                must(machine->write_frozen(Durability::lazy));
                machine->drop_frozen();
                report();
            }
        });
        auto store = test::open_kv(folder.path());
        const auto machine = must(StateMachine::open(*store, test::two_clients()));
        const std::string height = std::to_string(machine->executed().value);
        EXPECT_GE(machine->executed().value, static_cast<std::uint64_t>(finished));
        for (const char* key : {"one", "two"}) {
            const auto page =
                must(decode_range_result(must(decode_query_answer(must(machine->read(test::get(key))).result)).result));
            EXPECT_EQ(string_of(page.items.at(0).value), height);
        }
        EXPECT_EQ(machine->revision(), Revision(2 * machine->executed().value));
    }
}

}  // namespace
}  // namespace loyal::kvstore

#include "client/cli/failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/session.h"

namespace loyal::cli {
namespace {

using client::Certainty;
using client::ReadResult;
using client::WriteResult;
using ::testing::HasSubstr;

int exit_of(const Answer<void>& answer) {
    return answer ? 0 : static_cast<int>(answer.error().exit);
}

WriteResult executed(kvstore::Status status) {
    WriteResult result;
    result.outcome.status = status;
    return result;
}

WriteResult not_executed(Certainty certainty, bool denied = false) {
    WriteResult result;
    result.certainty = certainty;
    result.denied = denied;
    result.why = "why";
    return result;
}

TEST(ExitCodes, of_writes_that_were_decided) {
    using kvstore::Status;
    EXPECT_EQ(exit_of(judge(executed(Status::ok))), 0);
    EXPECT_EQ(exit_of(judge(executed(Status::not_found))), 1);
    EXPECT_EQ(exit_of(judge(executed(Status::mismatch))), 1);
    EXPECT_EQ(exit_of(judge(executed(Status::invalid))), 2);
    for (const Status surely_not : {Status::expired, Status::beyond_horizon, Status::window, Status::no_session}) {
        EXPECT_EQ(exit_of(judge(executed(surely_not))), 3);
    }
    EXPECT_EQ(exit_of(judge(executed(Status::denied))), 5);
}

TEST(ExitCodes, of_answers_that_say_no) {
    using kvstore::Status;
    for (const Status negative : {Status::compacted, Status::future_revision, Status::no_lease, Status::fenced,
                                  Status::no_lock, Status::exhausted, Status::too_large}) {
        EXPECT_EQ(exit_of(judge(executed(negative))), 1) << to_string(negative);
        ReadResult read;
        read.status = negative;
        EXPECT_EQ(exit_of(judge(read)), 1) << to_string(negative);
    }
    ReadResult read;
    read.status = Status::compacted;
    read.result = kvstore::encode_count(17);
    EXPECT_THAT(judge(read).error().message, HasSubstr("revision 17"));
    read.status = Status::future_revision;
    read.revision = kvstore::Revision(9);
    EXPECT_THAT(judge(read).error().message, HasSubstr("at revision 9"));
}

TEST(ExitCodes, what_was_not_sent_because_it_breaks_a_limit_is_bad_input) {
    WriteResult write = not_executed(Certainty::not_applied);
    write.outcome.status = kvstore::Status::invalid;
    write.why = "not applied: invalid: the key is empty";
    EXPECT_EQ(exit_of(judge(write)), 2);
    EXPECT_EQ(judge(write).error().message, "the key is empty");
    ReadResult read;
    read.status = kvstore::Status::invalid;
    read.why = "invalid: the key is empty";
    EXPECT_EQ(exit_of(judge(read)), 2);
}

TEST(ExitCodes, of_writes_without_a_decision) {
    EXPECT_EQ(exit_of(judge(not_executed(Certainty::not_applied))), 3);
    EXPECT_EQ(exit_of(judge(not_executed(Certainty::maybe_applied))), 4);
    EXPECT_EQ(exit_of(judge(not_executed(Certainty::not_applied, true))), 5);
    // A client that is refused now may have been heard before: what may have been applied stays so.
    EXPECT_EQ(exit_of(judge(not_executed(Certainty::maybe_applied, true))), 4);
}

TEST(ExitCodes, of_reads) {
    ReadResult read;
    read.ok = true;
    EXPECT_EQ(exit_of(judge(read)), 0);
    read.ok = false;
    EXPECT_EQ(exit_of(judge(read)), 3);  // contract: "A read that timed out exits 3"
    read.integrity = true;
    EXPECT_EQ(exit_of(judge(read)), 6);
    read.denied = true;
    EXPECT_EQ(exit_of(judge(read)), 5);
}

TEST(ExitCodes, of_errors_of_the_library) {
    const auto exit_for = [](Errc code) { return static_cast<int>(failure_of(Error{code, "m"}).exit); };
    EXPECT_EQ(exit_for(Errc::invalid_argument), 2);
    EXPECT_EQ(exit_for(Errc::conflict), 2);
    EXPECT_EQ(exit_for(Errc::unavailable), 3);
    EXPECT_EQ(exit_for(Errc::timed_out), 4);
    EXPECT_EQ(exit_for(Errc::permission), 5);
    EXPECT_EQ(exit_for(Errc::corrupted), 6);
    EXPECT_EQ(exit_for(Errc::unauthentic), 6);
    EXPECT_EQ(exit_for(Errc::io), 7);
    EXPECT_EQ(exit_for(Errc::internal), 7);
    // A file that the user named and that is not there is bad input.
    EXPECT_EQ(static_cast<int>(input_failure_of(Error{Errc::not_found, "m"}).exit), 2);
    EXPECT_EQ(static_cast<int>(input_failure_of(Error{Errc::permission, "m"}).exit), 5);
}

TEST(Failures, say_whether_the_write_was_applied) {
    EXPECT_THAT(judge(not_executed(Certainty::not_applied)).error().message, HasSubstr("definitely not applied"));
    EXPECT_THAT(judge(not_executed(Certainty::maybe_applied)).error().message, HasSubstr("may have been applied"));
}

TEST(Failures, are_text_or_json) {
    const Failure failure{Exit::maybe_applied, "timed_out", "the \"primary\" is silent"};
    EXPECT_EQ(describe(failure, false), "loyal: the \"primary\" is silent\n");
    const auto document = nlohmann::json::parse(describe(failure, true));
    EXPECT_EQ(document["error"]["code"], "timed_out");
    EXPECT_EQ(document["error"]["message"], "the \"primary\" is silent");
    EXPECT_EQ(document["error"]["exit"], 4);
    EXPECT_EQ(document["error"]["applied"], "unknown");
}

TEST(Failures, with_a_message_that_is_no_utf8_are_still_json) {
    EXPECT_TRUE(nlohmann::json::accept(describe({Exit::usage, "bad_input", "\xFF.tsv"}, true)));
}

}  // namespace
}  // namespace loyal::cli

// The checker of the crash tests can fail: each kind of wrong history is found.
#include "tests/system/history.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace loyal::system_test {
namespace {

History history_of(const std::string& lines) {
    const auto path = std::filesystem::temp_directory_path() / ("loyal-history-" + std::to_string(::getpid()));
    std::ofstream(path) << lines;
    History history = History::load(path.string());
    std::filesystem::remove(path);
    return history;
}

const std::string two_puts = R"({"client":0,"op":"put","key":"x","value":"1","status":"ok","call":10,"ret":20})"
                             "\n"
                             R"({"client":0,"op":"put","key":"x","value":"2","status":"ok","call":30,"ret":40})"
                             "\n";

TEST(HistoryChecker, accepts_the_last_acknowledged_value) {
    EXPECT_EQ(history_of(two_puts).objection_to("x", "2", 100), "");
    EXPECT_EQ(history_of(two_puts).acknowledged_writes(), 2U);
}

TEST(HistoryChecker, finds_lost_stale_and_invented_values) {
    const History history = history_of(two_puts);
    EXPECT_NE(history.objection_to("x", "", 100), "");
    EXPECT_NE(history.objection_to("x", "1", 100), "");
    EXPECT_NE(history.objection_to("x", "3", 100), "");
}

TEST(HistoryChecker, an_unknown_write_may_have_landed_or_not) {
    const History history = history_of(
        two_puts + R"({"client":1,"op":"put","key":"x","value":"3","status":"unknown","call":35,"ret":0})" + "\n");
    EXPECT_EQ(history.objection_to("x", "3", 100), "");
    EXPECT_EQ(history.objection_to("x", "2", 100), "");
    EXPECT_NE(history.objection_to("x", "1", 100), "");
}

TEST(HistoryChecker, a_write_that_surely_failed_is_never_read) {
    const History history = history_of(
        two_puts + R"({"client":1,"op":"put","key":"x","value":"3","status":"fail","call":35,"ret":50})" + "\n");
    EXPECT_NE(history.objection_to("x", "3", 100), "");
}

TEST(HistoryChecker, finds_a_stale_read_and_a_read_from_the_future) {
    EXPECT_EQ(
        history_of(two_puts + R"({"client":1,"op":"get","key":"x","out":"1","status":"ok","call":50,"ret":60})" + "\n")
            .objections()
            .size(),
        1U);
    EXPECT_EQ(
        history_of(two_puts + R"({"client":1,"op":"get","key":"x","out":"2","status":"ok","call":12,"ret":15})" + "\n")
            .objections()
            .size(),
        1U);
    EXPECT_EQ(
        history_of(two_puts + R"({"client":1,"op":"get","key":"x","out":"1","status":"ok","call":25,"ret":35})" + "\n")
            .objections()
            .size(),
        0U);
}

TEST(HistoryChecker, measures_the_longest_silence) {
    EXPECT_EQ(history_of(two_puts).longest_silence_ns(15), 20U);
    EXPECT_EQ(history_of(two_puts +
                         R"({"client":1,"op":"put","key":"x","value":"3","status":"unknown","call":90,"ret":0})" + "\n")
                  .longest_silence_ns(15),
              50U);
}

}  // namespace
}  // namespace loyal::system_test

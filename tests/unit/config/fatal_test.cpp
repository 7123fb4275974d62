#include "config/fatal.h"

#include <gtest/gtest.h>

#include <set>

#include "config/assert.h"

namespace loyal {
namespace {

constexpr FatalCode all_codes[] = {FatalCode::config,       FatalCode::key,         FatalCode::corrupted,
                                   FatalCode::internal,     FatalCode::port_in_use, FatalCode::data_missing,
                                   FatalCode::data_foreign, FatalCode::data_in_use, FatalCode::disk_full,
                                   FatalCode::io,           FatalCode::crash_stop,  FatalCode::system};

TEST(Fatal, ends_with_the_code_and_one_line_that_names_it) {
    for (const auto code : all_codes) {
        const std::string line = "fatal: " + std::string(name_of(code)) + " \\(exit " +
                                 std::to_string(static_cast<int>(code)) + "\\): the reason\n$";
        EXPECT_EXIT(fatal(code, "the reason"), testing::ExitedWithCode(static_cast<int>(code)), line);
    }
}

TEST(Fatal, a_message_of_several_lines_stays_one) {
    EXPECT_EXIT(fatal(FatalCode::io, "one\ntwo"), testing::ExitedWithCode(69), "one two");
}

TEST(Fatal, codes_and_names_are_distinct_and_no_success) {
    std::set<int> numbers;
    std::set<std::string_view> names;
    for (const auto code : all_codes) {
        EXPECT_TRUE(numbers.insert(static_cast<int>(code)).second);
        EXPECT_TRUE(names.insert(name_of(code)).second) << name_of(code);
        EXPECT_GT(static_cast<int>(code), 1);
        EXPECT_LT(static_cast<int>(code), 126) << "126 and above belong to shells and signals";
    }
}

TEST(Assert, a_broken_invariant_aborts_and_says_why) {
    EXPECT_EXIT(LOYAL_ASSERT(1 == 2, "one is not two"), testing::KilledBySignal(SIGABRT), "one is not two");
    LOYAL_ASSERT(true, "no harm");
}

}  // namespace
}  // namespace loyal

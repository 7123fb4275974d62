// The shell without a terminal and without a cluster: how a line is taken apart, and what could stand at its end.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <CLI/CLI.hpp>

#include "client/cli/command.h"
#include "client/cli/shell/completion.h"
#include "client/cli/shell/line_editor.h"
#include "client/cli/shell/words.h"

namespace loyal::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Words = std::vector<std::string>;

Words words_in(std::string_view line) {
    const Answer<Words> words = split_words(line);
    EXPECT_TRUE(words.has_value()) << (words ? "" : words.error().message);
    return words ? *words : Words{};
}

std::string refusal_for(std::string_view line) {
    const Answer<Words> words = split_words(line);
    return words ? "" : words.error().message;
}

TEST(ShellWords, a_line_is_divided_as_a_unix_shell_would) {
    EXPECT_THAT(words_in("put  greeting\thello\r\n"), ElementsAre("put", "greeting", "hello"));
    EXPECT_THAT(words_in(R"(put 'a "b" \c' "d 'e' \"f\" \\ \g")"),
                ElementsAre("put", R"(a "b" \c)", R"(d 'e' "f" \ \g)"));
    EXPECT_THAT(words_in(R"(a\ b c\\ \'d '' "")"), ElementsAre("a b", "c\\", "'d", "", ""));
    EXPECT_THAT(words_in("a'b'\"c\"d"), ElementsAre("abcd"));
    EXPECT_THAT(words_in("put $HOME *|>~"), ElementsAre("put", "$HOME", "*|>~"));
    EXPECT_THAT(words_in("get a#b # the rest"), ElementsAre("get", "a#b"));
    EXPECT_THAT(words_in("   "), IsEmpty());
    EXPECT_THAT(words_in("# put a b"), IsEmpty());
}

TEST(ShellWords, any_byte_can_be_written) {
    EXPECT_THAT(words_in(R"(put $'\x00\xfF\n\t\r\\\'\"' x)"),
                ElementsAre("put", std::string("\0\xFF\n\t\r\\'\"", 8), "x"));
}

TEST(ShellWords, what_cannot_be_understood_is_refused_and_not_guessed) {
    EXPECT_THAT(refusal_for("put 'open"), HasSubstr("quote at character 5 is not closed"));
    EXPECT_THAT(refusal_for("put \"open"), HasSubstr("not closed"));
    EXPECT_THAT(refusal_for("put $'open"), HasSubstr("not closed"));
    EXPECT_THAT(refusal_for("put a\\"), HasSubstr("ends with a backslash"));
    EXPECT_THAT(refusal_for(R"(put $'\q')"), HasSubstr("two hexadecimal digits"));
    EXPECT_THAT(refusal_for(R"(put $'\x1')"), HasSubstr("two hexadecimal digits"));
}

RC_GTEST_PROP(ShellWords, a_quoted_word_reads_back, (const std::string& word)) {
    RC_ASSERT(words_in("x " + quote_word(word) + " y") == (Words{"x", word, "y"}));
}

RC_GTEST_PROP(ShellWords, no_line_makes_the_splitter_fail, ()) {
    const auto line = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("a '\"\\$#x0\n\xFF")));
    const Answer<Words> words = split_words(line);
    if (!words) {
        RC_ASSERT(words.error().exit == Exit::usage);
    }
    RC_ASSERT(typed_words(line).begin <= line.size());
}

TEST(ShellWords, the_last_word_may_be_unfinished) {
    const TypedWords open = typed_words("put 'a b' \"c d");
    EXPECT_THAT(open.before, ElementsAre("put", "a b"));
    EXPECT_EQ(open.last, "c d");
    EXPECT_EQ(open.begin, 10U);
    const TypedWords behind = typed_words("get ");
    EXPECT_THAT(behind.before, ElementsAre("get"));
    EXPECT_EQ(behind.last, "");
    EXPECT_EQ(behind.begin, 4U);
    EXPECT_TRUE(typed_words("get a # b").comment);
}

class CompletionTest : public ::testing::Test {
 protected:
    CompletionTest() : parser_(make_parser(context_)) {}

    Words candidates(std::string_view line) {
        asked_.clear();
        return complete(*parser_, {"help", "exit", "quit"}, line,
                        [this](const std::string& prefix) {
                            asked_.push_back(prefix);
                            return KeysFound{{prefix + "1", prefix + "2"}, false};
                        })
            .candidates;
    }

    CommandContext context_{{}, {}, true, {}};
    std::unique_ptr<CLI::App> parser_;
    Words asked_;
};

TEST_F(CompletionTest, commands_are_those_of_the_parser) {
    EXPECT_THAT(candidates("sta"), ElementsAre("status"));
    EXPECT_THAT(candidates("he"), ElementsAre("help"));
    const Words all = candidates("");
    for (const CLI::App* command : parser_->get_subcommands(nullptr)) {
        EXPECT_THAT(all, Contains(command->get_name()));
    }
    EXPECT_THAT(candidates("cluster "), Contains("init"));
    EXPECT_THAT(candidates("cluster d"), ElementsAre("down"));
    EXPECT_THAT(candidates("help im"), ElementsAre("import"));
    EXPECT_THAT(candidates("loyal sta"), ElementsAre("status"));
}

TEST_F(CompletionTest, a_command_that_joins_the_parser_is_completed_by_itself) {
    std::string key;
    bool loudly = false;
    CLI::App* command = parser_->add_subcommand("xylophone", "");
    command->add_option("key", key);
    command->add_flag("--loudly", loudly);
    EXPECT_THAT(candidates("xy"), ElementsAre("xylophone"));
    EXPECT_THAT(candidates("xylophone --lo"), ElementsAre("--loudly"));
    EXPECT_THAT(candidates("xylophone --loudly k"), ElementsAre("k1", "k2"));
}

TEST_F(CompletionTest, options_of_the_command_and_global_ones_are_offered) {
    EXPECT_THAT(candidates("get --cou"), ElementsAre("--count"));
    EXPECT_THAT(candidates("get --clu"), ElementsAre("--cluster"));
    EXPECT_THAT(candidates("put --cou"), IsEmpty());
    EXPECT_THAT(candidates("put -- --"), Not(Contains("--hex"))) << "behind -- there are no options";
}

TEST_F(CompletionTest, values_of_a_fixed_set_are_offered) {
    EXPECT_THAT(candidates("get -w "), ElementsAre("json", "simple", "table"));
    EXPECT_THAT(candidates("get --write-out=t"), ElementsAre("--write-out=table"));
    EXPECT_THAT(candidates("export --format j"), ElementsAre("jsonl"));
}

TEST_F(CompletionTest, keys_are_asked_for_where_a_key_stands) {
    EXPECT_THAT(candidates("get us"), ElementsAre("us1", "us2"));
    EXPECT_THAT(candidates("get -w json us"), ElementsAre("us1", "us2"));
    EXPECT_THAT(candidates("get --prefix us"), ElementsAre("us1", "us2"));
    EXPECT_THAT(candidates("del "), ElementsAre("1", "2"));
    EXPECT_THAT(asked_, ElementsAre(""));
    EXPECT_THAT(candidates("put key val"), IsEmpty()) << "a value is no key";
    EXPECT_THAT(asked_, IsEmpty());
    EXPECT_THAT(candidates("get --hex 6"), IsEmpty()) << "keys are not written as they are";
    EXPECT_THAT(candidates("get a # b"), IsEmpty());
    EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(CompletionTest, files_are_offered_where_a_file_stands) {
    std::string pattern = (std::filesystem::temp_directory_path() / "loyal-complete-XXXXXX").string();
    const std::filesystem::path folder = ::mkdtemp(pattern.data());
    std::filesystem::create_directory(folder / "beta");
    std::ofstream(folder / "alpha.tsv") << "x";
    EXPECT_THAT(candidates("import " + folder.string() + "/"),
                ElementsAre(folder.string() + "/alpha.tsv", folder.string() + "/beta/"));
    EXPECT_THAT(candidates("import --resume " + folder.string() + "/a"), ElementsAre(folder.string() + "/alpha.tsv"));
    std::filesystem::remove_all(folder);
}

TEST_F(CompletionTest, what_is_common_ends_at_a_character) {
    EXPECT_EQ(common_beginning({}), "");
    EXPECT_EQ(common_beginning({"users/1", "users/2"}), "users/");
    EXPECT_EQ(common_beginning({"\xC3\xA4", "\xC3\xB6"}), "") << "the first byte alone is no character";
    EXPECT_EQ(common_beginning({"\xFF\x01", "\xFF\x02"}), "\xFF") << "a byte that is none is whole";
}

TEST(ShellHistory, its_file_is_in_the_state_folder_of_the_user) {
    ::setenv("XDG_STATE_HOME", "/tmp/state", 1);
    EXPECT_EQ(history_path(), "/tmp/state/loyal/history");
    ::unsetenv("XDG_STATE_HOME");
    const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
    ::setenv("HOME", "/homes/somebody", 1);
    EXPECT_EQ(history_path(), "/homes/somebody/.local/state/loyal/history");
    ::unsetenv("HOME");
    EXPECT_TRUE(history_path().empty());
    if (!home.empty()) {
        ::setenv("HOME", home.c_str(), 1);
    }
}

}  // namespace
}  // namespace loyal::cli

#include "client/cli/terminal_text.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "client/cli/output.h"

namespace loyal::cli {
namespace {

std::string cell_of(std::string_view text) {
    return terminal_safe(text, Lines::escaped);
}

TEST(TerminalText, what_a_terminal_acts_on_is_escaped_byte_by_byte) {
    EXPECT_EQ(cell_of("a\x1B[2J"), "a\\x1b[2J");
    EXPECT_EQ(cell_of("\x1B]0;title\x07"), "\\x1b]0;title\\x07");
    EXPECT_EQ(cell_of("back\bspace\rreturn\x7F"), "back\\x08space\\x0dreturn\\x7f");
    EXPECT_EQ(cell_of("\xC2\x9B"
                      "31m"),
              "\\xc2\\x9b31m")
        << "U+009B begins a control sequence as ESC [ does";
    EXPECT_EQ(cell_of("user\xE2\x80\xAEtxt.exe"), "user\\xe2\\x80\\xaetxt.exe") << "U+202E turns the reading order";
    EXPECT_EQ(cell_of(std::string_view("\0", 1)), "\\x00");
}

TEST(TerminalText, invalid_utf8_is_escaped_and_what_is_around_it_is_not) {
    EXPECT_EQ(cell_of("\xFFk"), "\\xffk");
    EXPECT_EQ(cell_of("\xC3\xA4\xC3"), "\xC3\xA4\\xc3") << "cut within a character";
    EXPECT_EQ(cell_of("\xC0\xAF"), "\\xc0\\xaf") << "an overlong form";
    EXPECT_EQ(cell_of("\xED\xA0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
    EXPECT_EQ(cell_of("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond U+10FFFF";
    EXPECT_EQ(cell_of("gr\xC3\xBC\xC3\x9F \xE4\xBD\xA0 \xF0\x9F\x98\x80"),
              "gr\xC3\xBC\xC3\x9F \xE4\xBD\xA0 \xF0\x9F\x98\x80");
}

TEST(TerminalText, lines_are_kept_where_there_may_be_several) {
    EXPECT_EQ(terminal_safe("a\tb\nc\r\n", Lines::kept), "a\tb\nc\\x0d\n");
    EXPECT_EQ(cell_of("a\tb\nc"), "a\\x09b\\x0ac");
}

TEST(TerminalText, marks_do_not_pile_up_without_bound) {
    std::string pile = "a";
    for (int i = 0; i < 20; ++i) {
        pile += "\xCC\x81";  // U+0301
    }
    std::string expected = "a";
    for (int i = 0; i < 8; ++i) {
        expected += "\xCC\x81";
    }
    for (int i = 8; i < 20; ++i) {
        expected += "\\xcc\\x81";
    }
    EXPECT_EQ(cell_of(pile), expected);
}

TEST(TerminalText, columns_are_those_of_a_terminal) {
    EXPECT_EQ(columns_of("abc"), 3U);
    EXPECT_EQ(columns_of("\xC3\xA4"), 1U);
    EXPECT_EQ(columns_of("a\xCC\x88"), 1U) << "a letter and its mark";
    EXPECT_EQ(columns_of("\xE4\xBD\xA0\xE5\xA5\xBD"), 4U) << "two wide characters";
    EXPECT_EQ(table({{"A", "B"}, {"\xE4\xBD\xA0", "x"}, {"abc", "y"}}), "A    B\n\xE4\xBD\xA0   x\nabc  y\n");
}

TEST(TerminalText, a_long_text_is_cut_at_a_column_and_says_so) {
    EXPECT_EQ(shortened_to_columns("abcdef", 6), "abcdef");
    EXPECT_EQ(shortened_to_columns("abcdefg", 6), "abcde…");
    EXPECT_EQ(shortened_to_columns("\xE4\xBD\xA0\xE5\xA5\xBD\xE4\xBD\xA0", 4), "\xE4\xBD\xA0…")
        << "no half of a wide one";
    EXPECT_EQ(shortened_to_columns("aa\xCC\x88z", 2), "a…");
    EXPECT_EQ(shortened_to_columns("ab", 0), "");
    EXPECT_EQ(table({{"K"}, {"abcdefg"}}, 4), "K\nabc…\n");
}

RC_GTEST_PROP(TerminalText, nothing_of_any_bytes_drives_a_terminal, (const std::string& text)) {
    const std::string safe = cell_of(text);
    for (std::size_t at = 0; at < safe.size();) {
        const std::size_t length = utf8_length(std::string_view(safe).substr(at));
        RC_ASSERT(length > 0U);
        const auto byte = static_cast<unsigned char>(safe[at]);
        RC_ASSERT(byte >= 0x20);
        RC_ASSERT(byte != 0x7F);
        at += length;
    }
    RC_ASSERT(cell_of(safe) == safe);
    RC_ASSERT(columns_of(shortened_to_columns(safe, 5)) <= 5U);
}

}  // namespace
}  // namespace loyal::cli

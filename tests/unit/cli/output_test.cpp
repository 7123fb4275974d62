#include "client/cli/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "crypto/identity.h"

namespace loyal::cli {
namespace {

using ::testing::HasSubstr;

class OutputTest : public ::testing::Test {
 protected:
    static void SetUpTestSuite() { crypto::initialize(); }
};

TEST_F(OutputTest, bytes_are_json_strings_where_they_are_utf8) {
    EXPECT_EQ(json_of(view_of("plain")).dump(), "\"plain\"");
    EXPECT_EQ(json_of(view_of("")).dump(), "\"\"");
    EXPECT_EQ(json_of(view_of("gr\xC3\xBC\xC3\x9F")).dump(), "\"gr\xC3\xBC\xC3\x9F\"");
    EXPECT_EQ(json_of(view_of("\xC0\x80")).dump(), R"({"base64":"wIA="})") << "an overlong form is no UTF-8";
    EXPECT_EQ(json_of(view_of("\xED\xA0\x80")).dump(), R"({"base64":"7aCA"})") << "a surrogate is no UTF-8";
}

RC_GTEST_FIXTURE_PROP(OutputTest, json_of_bytes_reads_back, (const std::vector<std::uint8_t>& bytes)) {
    const auto text = json_of(ByteView(bytes)).dump();
    const Answer<Bytes> back = bytes_of_json(nlohmann::ordered_json::parse(text), "it");
    RC_ASSERT(back.has_value());
    RC_ASSERT(*back == bytes);
}

RC_GTEST_FIXTURE_PROP(OutputTest, hexadecimal_and_base64_arguments_read_back,
                      (const std::vector<std::uint8_t>& bytes)) {
    for (const TextForm form : {TextForm::hex, TextForm::base64}) {
        const Answer<Bytes> back = decode_text(text_in_form(bytes, form), form, "it");
        RC_ASSERT(back.has_value());
        RC_ASSERT(*back == bytes);
    }
}

TEST_F(OutputTest, timestamps_have_both_forms) {
    EXPECT_EQ(json_of(consensus::Hlc(1'772'366'400'125, 7)).dump(),
              R"({"hlc":"1772366400125.7","rfc3339":"2026-03-01T12:00:00.125Z"})");
    EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00.000Z");
}

TEST_F(OutputTest, tables_align_words_left_and_numbers_right) {
    EXPECT_EQ(table({{"ID", "NAME", "N"}, {"1", "ab", "7"}, {"20", "c", "100"}}),
              "ID  NAME    N\n"
              " 1  ab      7\n"
              "20  c     100\n");
    EXPECT_EQ(table({{"A", "B"}, {"\xC3\xA4", "x"}}), "A  B\n\xC3\xA4  x\n") << "a two-byte letter takes one column";
}

TEST_F(OutputTest, what_a_terminal_would_act_on_is_shown_as_hexadecimal) {
    EXPECT_EQ(printable(view_of("a\x1B[2J"), TextForm::plain), "a\\x1b[2J");
    EXPECT_EQ(printable(view_of("\xFFk"), TextForm::plain), "\\xffk");
}

TEST_F(OutputTest, malformed_arguments_are_named) {
    EXPECT_THAT(decode_text("abc", TextForm::hex, "key").error().message, HasSubstr("odd number"));
    EXPECT_THAT(decode_text("0g", TextForm::hex, "key").error().message, HasSubstr("character 2"));
    EXPECT_FALSE(decode_text("***", TextForm::base64, "key").has_value());
    EXPECT_THAT(key_argument("", TextForm::plain).error().message, HasSubstr("empty"));
    EXPECT_THAT(key_argument(std::string(481, 'k'), TextForm::plain).error().message, HasSubstr("480"));
    EXPECT_THAT(value_argument(std::string((1U << 20U) + 1, 'v'), TextForm::plain).error().message, HasSubstr("1 MiB"));
    EXPECT_THAT(value_argument("@/does/not/exist", TextForm::plain).error().message, HasSubstr("/does/not/exist"));
}

RC_GTEST_FIXTURE_PROP(OutputTest, the_end_of_a_prefix_divides_keys_with_it_from_those_behind, ()) {
    const auto byte = rc::gen::elementOf(Bytes{0x00, 0x61, 0xFE, 0xFF});
    const auto prefix = *rc::gen::container<Bytes>(byte);
    const auto key = *rc::gen::container<Bytes>(byte);
    const Bytes end = end_of_prefix(prefix);
    const bool has_prefix = key.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), key.begin());
    const bool in_range = key >= prefix && (end.empty() || key < end);
    RC_ASSERT(has_prefix == in_range || (end.empty() && !prefix.empty() && key >= prefix));
}

TEST_F(OutputTest, a_prefix_of_the_last_bytes_has_no_end) {
    EXPECT_EQ(end_of_prefix(view_of("")), Bytes{});
    EXPECT_EQ(end_of_prefix(view_of("\xFF\xFF")), Bytes{});
    EXPECT_EQ(end_of_prefix(view_of("a\xFF")), bytes_of("b"));
}

}  // namespace
}  // namespace loyal::cli

#include "client/cli/txn_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/limits.h"

namespace loyal::cli {
namespace {

using kvstore::CompareTarget;
using kvstore::Relation;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The last answer, of the first line that is refused.
Answer<void> feed(TxnScript& script, const std::string& text) {
    std::uint64_t number = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        if (Answer<void> taken = script.take(std::string_view(text).substr(begin, end - begin), ++number); !taken) {
            return taken;
        }
        begin = end + 1;
    }
    return {};
}

std::string refusal(const std::string& text) {
    TxnScript script(TextForm::plain);
    const Answer<void> taken = feed(script, text);
    if (taken) {
        return "taken";
    }
    EXPECT_EQ(taken.error().exit, Exit::usage);
    return taken.error().message;
}

kvstore::Compare compare_of(const std::string& line) {
    const auto compare = parse_compare(line, TextForm::plain);
    EXPECT_TRUE(compare) << line << ": " << compare.error().message;
    return compare.value_or(kvstore::Compare{});
}

template <class T>
T request_of(const std::string& line) {
    const auto request = parse_request(line, TextForm::plain);
    EXPECT_TRUE(request) << line << ": " << request.error().message;
    return request && std::holds_alternative<T>(*request) ? std::get<T>(*request) : T{};
}

TEST(TxnScript, the_example_of_etcds_manual) {
    TxnScript script(TextForm::plain);
    ASSERT_TRUE(feed(script,
                     "mod(\"key1\") > \"0\"\n"
                     "\n"
                     "put key1 \"overwrote-key1\"\n"
                     "\n"
                     "put key1 \"created-key1\"\n"
                     "put key2 \"some extra key\"\n"
                     "\n"));
    EXPECT_EQ(script.part(), TxnScript::Part::end);
    ASSERT_EQ(script.txn().compares.size(), 1U);
    const kvstore::Compare& compare = script.txn().compares.front();
    EXPECT_EQ(compare.key, bytes_of("key1"));
    EXPECT_EQ(compare.target, CompareTarget::modified);
    EXPECT_EQ(compare.relation, Relation::greater);
    EXPECT_EQ(compare.number, 0U);
    ASSERT_EQ(script.txn().then.size(), 1U);
    EXPECT_EQ(std::get<kvstore::Put>(script.txn().then.front()).value, bytes_of("overwrote-key1"));
    ASSERT_EQ(script.txn().otherwise.size(), 2U);
    EXPECT_EQ(std::get<kvstore::Put>(script.txn().otherwise.back()).value, bytes_of("some extra key"));
}

TEST(TxnScript, parts_may_be_empty_or_left_out) {
    TxnScript script(TextForm::plain);
    ASSERT_TRUE(feed(script, "\nget a\n"));
    EXPECT_TRUE(script.txn().compares.empty());
    EXPECT_EQ(script.txn().then.size(), 1U);
    TxnScript only_otherwise(TextForm::plain);
    ASSERT_TRUE(feed(only_otherwise, "version(a) = 0\n\n\ndel a\n"));
    EXPECT_TRUE(only_otherwise.txn().then.empty());
    EXPECT_EQ(only_otherwise.txn().otherwise.size(), 1U);
}

TEST(TxnScript, comparisons_have_every_target_and_relation) {
    EXPECT_EQ(compare_of(R"(value("k") = "v")").value, bytes_of("v"));
    EXPECT_EQ(compare_of(R"(val("k") = "")").value, Bytes());
    EXPECT_EQ(compare_of(R"(version("k") = "3")").target, CompareTarget::version);
    EXPECT_EQ(compare_of(R"(ver("k") != "3")").relation, Relation::not_equal);
    EXPECT_EQ(compare_of(R"(create("k") < "3")").target, CompareTarget::created);
    EXPECT_EQ(compare_of(R"(c(k)<3)").relation, Relation::less);
    EXPECT_EQ(compare_of(R"(m ( "k" ) > 18446744073709551615)").number, UINT64_MAX);
    EXPECT_EQ(compare_of(R"(lease("k") = "7")").target, CompareTarget::lease);
    EXPECT_EQ(compare_of(R"(value("a)b \"c\"") = 'x"y')").key, bytes_of("a)b \"c\""));
    EXPECT_EQ(compare_of(R"(value("a)b \"c\"") = 'x"y')").value, bytes_of("x\"y"));
}

TEST(TxnScript, words_may_be_quoted) {
    const auto words = words_of_request(R"(put "a key" 'a "value"' --lease 7 "\x00\n\t\\" "")");
    ASSERT_TRUE(words);
    EXPECT_THAT(*words, ElementsAre("put", "a key", "a \"value\"", "--lease", "7", std::string("\0\n\t\\", 4), ""));
    for (const char* bad : {R"("open)", R"('open)", R"("a"b)", R"("\q")", R"("\x1")", R"("\xZZ")", R"("\)"}) {
        EXPECT_FALSE(words_of_request(bad)) << bad;
    }
}

TEST(TxnScript, requests_take_the_options_of_the_commands) {
    const auto put = request_of<kvstore::Put>("put k v --lease 7 --fence lock=3");
    EXPECT_EQ(put.lease, kvstore::LeaseId(7));
    EXPECT_EQ(put.fence->token, 3U);
    EXPECT_EQ(request_of<kvstore::Put>("put k v --ttl 30s").ttl_ms, 30'000U);
    EXPECT_EQ(request_of<kvstore::Put>("put -- -k -5").value, bytes_of("-5"));
    const auto prefix = request_of<kvstore::Range>("get --prefix p --limit 3 --rev 9 --keys-only --reverse");
    EXPECT_EQ(prefix.begin, bytes_of("p"));
    EXPECT_EQ(prefix.end, bytes_of("q"));
    EXPECT_EQ(prefix.limit, 3U);
    EXPECT_EQ(prefix.revision, kvstore::Revision(9));
    EXPECT_TRUE(prefix.keys_only && prefix.reverse && !prefix.count_only);
    EXPECT_EQ(request_of<kvstore::Range>("get a c").end, bytes_of("c"));
    EXPECT_TRUE(request_of<kvstore::Range>("get a --to c --count").count_only);
    EXPECT_EQ(request_of<kvstore::Delete>("del a").end, std::nullopt);
    EXPECT_EQ(request_of<kvstore::Delete>("del a c").end, bytes_of("c"));
    EXPECT_EQ(request_of<kvstore::Delete>("del a --prefix").end, bytes_of("b"));
}

TEST(TxnScript, what_does_not_parse_is_named_with_its_line) {
    EXPECT_THAT(refusal("mod(\"a\") > \"0\"\nnonsense\n"), HasSubstr("line 2: a comparison is"));
    EXPECT_THAT(refusal("size(\"a\") > \"0\"\n"), HasSubstr("line 1: \"size\" is no target"));
    EXPECT_THAT(refusal("mod(\"a\") ~ \"0\"\n"), HasSubstr("operator"));
    EXPECT_THAT(refusal("mod(\"a\") > \"x\"\n"), HasSubstr("no whole number"));
    EXPECT_THAT(refusal("mod(\"a\") > \"-1\"\n"), HasSubstr("no whole number"));
    EXPECT_THAT(refusal("mod(\"a\") >\n"), HasSubstr("a comparison is"));
    EXPECT_THAT(refusal("mod(\"a\") > \"1\" \"2\"\n"), HasSubstr("a comparison is"));
    EXPECT_THAT(refusal("mod(\"a > \"0\"\n"), HasSubstr("line 1"));
    EXPECT_THAT(refusal("value(\"\") = \"v\"\n"), HasSubstr("the key is empty"));
    EXPECT_THAT(refusal("\nput a\n"), HasSubstr("line 2: "));
    EXPECT_THAT(refusal("\nput a b c\n"), HasSubstr("line 2: "));
    EXPECT_THAT(refusal("\nfrobnicate a\n"), HasSubstr("put K V, get K or del K"));
    EXPECT_THAT(refusal("\nget a --whatever\n"), HasSubstr("line 2: "));
    EXPECT_THAT(refusal("\nget b a\n"), HasSubstr("the range is empty"));
    EXPECT_THAT(refusal("\nput a b --ttl nan\n"), HasSubstr("no duration"));
    EXPECT_THAT(refusal("\nput a b --ttl 5s --lease 3\n"), HasSubstr("line 2: "));
    EXPECT_THAT(refusal("\n\n\nput a b\n"), HasSubstr("line 4: nothing comes after the third part"));
}

TEST(TxnScript, one_part_too_many_is_refused_where_it_is) {
    std::string most = "\n";
    for (std::size_t i = 0; i < limits::txn_parts_max; ++i) {
        most += "put key" + std::to_string(i) + " v\n";
    }
    EXPECT_EQ(refusal(most), "taken");
    EXPECT_THAT(refusal(most + "put one more\n"), HasSubstr("line 130: a transaction has at most 128"));
}

TEST(TxnScript, keys_and_values_may_be_hexadecimal) {
    TxnScript script(TextForm::hex);
    ASSERT_TRUE(feed(script, "value(6b) = 00ff\n\nput 6b 0aff\n"));
    EXPECT_EQ(script.txn().compares.front().value, (Bytes{0x00, 0xff}));
    EXPECT_EQ(std::get<kvstore::Put>(script.txn().then.front()).key, bytes_of("k"));
}

}  // namespace
}  // namespace loyal::cli

#include "client/cli/record_format.h"

#include <sys/mman.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "client/client.h"
#include "config/limits.h"
#include "crypto/identity.h"

namespace loyal::cli {
namespace {

class RecordFormatTest : public ::testing::Test {
 protected:
    static void SetUpTestSuite() { crypto::initialize(); }
};

// A file in memory that holds `text`.
class Input {
 public:
    explicit Input(std::string_view text) : descriptor_(::memfd_create("input", MFD_CLOEXEC)) {
        EXPECT_EQ(::write(descriptor_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
        ::lseek(descriptor_, 0, SEEK_SET);
    }
    ~Input() { ::close(descriptor_); }
    Input(const Input&) = delete;
    Input& operator=(const Input&) = delete;
    [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
    int descriptor_;
};

std::vector<std::string> lines_of(std::string_view text) {
    const Input input(text);
    LineReader reader(input.descriptor());
    std::vector<std::string> lines;
    for (;;) {
        const auto line = reader.next();
        if (!line || !*line) {
            return lines;
        }
        lines.emplace_back(**line);
    }
}

std::string why_not(std::string_view line, RecordFormat format) {
    const Answer<Record> record = read_record(line, format);
    return record ? "" : record.error().message;
}

Bytes any_bytes(std::size_t least, std::size_t most) {
    const auto size = *rc::gen::inRange<std::size_t>(least, most + 1);
    // Every byte, with those that need care more often than chance gives them.
    return *rc::gen::container<Bytes>(
        size,
        rc::gen::weightedOneOf<std::uint8_t>(
            {{3, rc::gen::arbitrary<std::uint8_t>()},
             {2, rc::gen::elementOf(Bytes{'\t', '\n', '\\', 't', 'n', '"', '{', '\0', '\r', 0xC3, 0xA9, 0xFF})}}));
}

RC_GTEST_FIXTURE_PROP(RecordFormatTest, what_is_written_is_read_back_to_the_same_bytes, ()) {
    const Record record{any_bytes(1, 40), any_bytes(0, 200)};
    for (const RecordFormat format : {RecordFormat::tsv, RecordFormat::jsonl}) {
        const std::string line = write_record(record.key, record.value, format);
        RC_ASSERT(line.find('\n') == std::string::npos);
        const Answer<Record> read = read_record(line, format);
        RC_ASSERT(read.has_value());
        RC_ASSERT(*read == record);
    }
}

RC_GTEST_FIXTURE_PROP(RecordFormatTest, a_file_of_records_comes_back_line_by_line, ()) {
    const auto count = *rc::gen::inRange<std::size_t>(0, 20);
    std::vector<Record> records;
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
        records.push_back({any_bytes(1, 20), any_bytes(0, 60)});
        text += write_record(records[i].key, records[i].value, RecordFormat::tsv) + "\n";
    }
    std::vector<Record> read;
    for (const std::string& line : lines_of(text)) {
        const Answer<Record> record = read_record(line, RecordFormat::tsv);
        RC_ASSERT(record.has_value());
        read.push_back(*record);
    }
    RC_ASSERT(read == records);
}

RC_GTEST_FIXTURE_PROP(RecordFormatTest, no_line_makes_the_reader_throw, ()) {
    const Bytes line = any_bytes(0, 80);
    for (const RecordFormat format : {RecordFormat::tsv, RecordFormat::jsonl}) {
        const Answer<Record> record = read_record(text_of(line), format);
        if (!record) {
            const bool is_usage = record.error().exit == Exit::usage;
            RC_ASSERT(is_usage);
            RC_ASSERT(!record.error().message.empty());
        }
    }
}

TEST_F(RecordFormatTest, tsv_has_three_escapes_and_keeps_other_bytes) {
    EXPECT_EQ(write_record(view_of("a\tb"), view_of("1\n2\\3"), RecordFormat::tsv), "a\\tb\t1\\n2\\\\3");
    EXPECT_EQ(write_record(view_of("k"), view_of("\r\x01 \xFF"), RecordFormat::tsv), "k\t\r\x01 \xFF");
}

TEST_F(RecordFormatTest, jsonl_has_strings_and_base64_for_what_is_no_utf8) {
    EXPECT_EQ(write_record(view_of("ä"), view_of("1"), RecordFormat::jsonl), R"({"key":"ä","value":"1"})");
    EXPECT_EQ(write_record(view_of("k"), view_of("\xFF"), RecordFormat::jsonl),
              R"({"key":"k","value":{"base64":"/w=="}})");
}

TEST_F(RecordFormatTest, bad_lines_are_named) {
    EXPECT_THAT(why_not("no tab here", RecordFormat::tsv), ::testing::HasSubstr("no tab"));
    EXPECT_THAT(why_not("", RecordFormat::tsv), ::testing::HasSubstr("no tab"));
    EXPECT_THAT(why_not("a\tb\tc", RecordFormat::tsv), ::testing::HasSubstr("more than one tab"));
    EXPECT_THAT(why_not("a\tb\\x", RecordFormat::tsv), ::testing::HasSubstr("backslash"));
    EXPECT_THAT(why_not("a\\\tb", RecordFormat::tsv), ::testing::HasSubstr("backslash"));
    EXPECT_THAT(why_not("\tvalue", RecordFormat::tsv), ::testing::HasSubstr("key is empty"));
    EXPECT_THAT(why_not("{\"key\":\"a\"}", RecordFormat::jsonl), ::testing::HasSubstr("exactly the fields"));
    EXPECT_THAT(why_not(R"({"key":"a","value":"b","ttl":1})", RecordFormat::jsonl),
                ::testing::HasSubstr("exactly the fields"));
    EXPECT_THAT(why_not(R"({"key":"a","value":7})", RecordFormat::jsonl), ::testing::HasSubstr("\"value\" must be"));
    EXPECT_THAT(why_not(R"({"key":{"base64":"*"},"value":""})", RecordFormat::jsonl), ::testing::HasSubstr("\"key\""));
    EXPECT_THAT(why_not("[1,2]", RecordFormat::jsonl), ::testing::HasSubstr("not a JSON object"));
    EXPECT_THAT(why_not("{\"key\":\"a\",\"value\":\"\xFF\"}", RecordFormat::jsonl),
                ::testing::HasSubstr("not a JSON object"));
}

TEST_F(RecordFormatTest, keys_and_values_at_their_limits_pass_and_beyond_them_do_not) {
    const std::string key(limits::key_bytes_max, 'k');
    const std::string value(limits::value_bytes_max, 'v');
    EXPECT_EQ(why_not(key + "\t" + value, RecordFormat::tsv), "");
    EXPECT_THAT(why_not(key + "k\tv", RecordFormat::tsv), ::testing::HasSubstr("481 bytes"));
    EXPECT_THAT(why_not("k\t" + value + "v", RecordFormat::tsv), ::testing::HasSubstr("1048577 bytes"));
    // The longest line a record within the limits can have still fits a line.
    const std::string worst(limits::value_bytes_max, '\x01');
    EXPECT_LT(write_record(view_of(key), view_of(worst), RecordFormat::jsonl).size(), line_bytes_max);
}

TEST_F(RecordFormatTest, the_format_is_known_by_extension_and_else_by_the_first_line) {
    EXPECT_EQ(detect_format("a.jsonl", "k\tv"), RecordFormat::jsonl);
    EXPECT_EQ(detect_format("a.tsv", "{}"), RecordFormat::tsv);
    EXPECT_EQ(detect_format("-", R"({"key":"a","value":"b"})"), RecordFormat::jsonl);
    EXPECT_EQ(detect_format("-", "k\tv"), RecordFormat::tsv);
    EXPECT_EQ(detect_format("-", "{braces}\tare a key too"), RecordFormat::tsv);
    EXPECT_EQ(detect_format("data.d/file", "k\tv"), RecordFormat::tsv);
}

TEST_F(RecordFormatTest, lines_end_with_a_newline_or_with_the_file) {
    EXPECT_EQ(lines_of(""), std::vector<std::string>{});
    EXPECT_EQ(lines_of("a"), std::vector<std::string>{"a"});
    EXPECT_EQ(lines_of("a\n"), std::vector<std::string>{"a"});
    EXPECT_EQ(lines_of("a\n\nb\n"), (std::vector<std::string>{"a", "", "b"}));
    const std::string long_line(600'000, 'x');  // over more than one read
    EXPECT_EQ(lines_of(long_line + "\ny"), (std::vector<std::string>{long_line, "y"}));
}

TEST_F(RecordFormatTest, a_line_beyond_every_record_is_refused_with_its_number) {
    const Input input("a\n" + std::string(line_bytes_max + 1, 'x'));
    LineReader reader(input.descriptor());
    ASSERT_TRUE(reader.next().has_value());
    const auto second = reader.next();
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().exit, Exit::usage);
    EXPECT_EQ(reader.number(), 2U);
}

TEST_F(RecordFormatTest, a_line_of_a_pipe_is_given_before_the_next_one_comes) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    ASSERT_EQ(::write(ends[1], "first\nsec", 9), 9);
    LineReader reader(ends[0]);
    const auto first = reader.next();  // would wait for ever if it wanted a full buffer
    ASSERT_TRUE(first && *first);
    EXPECT_EQ(**first, "first");
    ASSERT_EQ(::write(ends[1], "ond\n", 4), 4);
    ::close(ends[1]);
    const auto second = reader.next();
    ASSERT_TRUE(second && *second);
    EXPECT_EQ(**second, "second");
    ::close(ends[0]);
}

}  // namespace
}  // namespace loyal::cli

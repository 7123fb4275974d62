// What an import and an export go on from, without a cluster.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/export_file.h"
#include "client/cli/import_state.h"
#include "client/cli/transfer_progress.h"
#include "crypto/identity.h"

namespace loyal::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ResumeTest : public ::testing::Test {
 protected:
    ResumeTest() {
        crypto::initialize();
        std::string pattern = (fs::temp_directory_path() / "loyal-resume-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
    }
    ~ResumeTest() override {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }

    [[nodiscard]] fs::path file(const std::string& text) const {
        std::ofstream(folder_ / "file", std::ios::binary | std::ios::trunc) << text;
        return folder_ / "file";
    }
    [[nodiscard]] std::string content() const {
        std::ostringstream text;
        text << std::ifstream(folder_ / "file", std::ios::binary).rdbuf();
        return text.str();
    }
    [[nodiscard]] Answer<ExportFile> continued(const std::string& text, const std::string& prefix = "") const {
        return ExportFile::resume(file(text), RecordFormat::tsv, view_of(prefix));
    }

    fs::path folder_;
};

ImportState some_state() {
    ImportState state;
    state.cluster_id = "ab";
    state.input = "a \"file\"";
    state.size = 12;
    state.modified_ns = -5;
    state.format = RecordFormat::jsonl;
    state.offset = 7;
    state.line = 2;
    state.prefix = crypto::digest_of("import-input", view_of("1234567"));
    return state;
}

TEST_F(ResumeTest, a_state_reads_back_and_takes_the_place_of_the_one_before) {
    const fs::path path = folder_ / "state";
    const auto none = read_import_state(path);
    ASSERT_TRUE(none.has_value());
    EXPECT_FALSE(none->has_value());
    ImportState state = some_state();
    ASSERT_TRUE(write_import_state(path, state).has_value());
    state.line = 3;
    ASSERT_TRUE(write_import_state(path, state).has_value());
    const auto read = read_import_state(path);
    ASSERT_TRUE(read && *read);
    EXPECT_EQ(**read, state);
    EXPECT_FALSE(fs::exists(folder_ / "state.new"));
}

TEST_F(ResumeTest, what_is_no_state_is_refused) {
    EXPECT_THAT(decode_import_state("k\tv\n", "S").error().message, HasSubstr("S is not the state of an import"));
    EXPECT_FALSE(decode_import_state("{}", "S").has_value());
    const std::string whole = encode(some_state());
    ASSERT_TRUE(decode_import_state(whole, "S").has_value());
    for (std::size_t size = 0; size + 1 < whole.size(); ++size) {  // but for the newline
        EXPECT_FALSE(decode_import_state(whole.substr(0, size), "S").has_value()) << size;
    }
    const auto changed = [&](const std::string& from, const std::string& to) {
        std::string text = whole;
        text.replace(text.find(from), from.size(), to);
        return decode_import_state(text, "S");
    };
    EXPECT_THAT(changed("state\":1", "state\":2").error().message, HasSubstr("another version"));
    EXPECT_FALSE(changed("\"offset\":7", "\"offset\":-7").has_value());
    EXPECT_FALSE(changed("jsonl", "csv").has_value());
    EXPECT_FALSE(changed("prefix_digest\":\"", "prefix_digest\":\"0").has_value());
}

TEST_F(ResumeTest, the_digest_of_a_beginning_does_not_depend_on_its_steps) {
    const fs::path path = file(std::string(200'000, 'x') + "end");
    const FileHandle handle(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    InputDigest once(handle.get());
    InputDigest in_steps(handle.get());
    ASSERT_TRUE(once.advance_to(150'000).has_value());
    for (const std::uint64_t offset : {1U, 70'000U, 150'000U}) {
        ASSERT_TRUE(in_steps.advance_to(offset).has_value());
        (void)in_steps.digest();  // asking changes nothing
    }
    EXPECT_EQ(once.digest(), in_steps.digest());
    ASSERT_TRUE(in_steps.advance_to(150'001).has_value());
    EXPECT_NE(once.digest(), in_steps.digest());
    EXPECT_THAT(once.advance_to(300'000).error().message, HasSubstr("it ends there"));
}

TEST_F(ResumeTest, a_line_reader_says_where_a_line_ends_and_whether_it_does) {
    const fs::path path = file("a\tb\nc\td");
    const FileHandle handle(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    LineReader lines(handle.get());
    ASSERT_TRUE(lines.next().has_value());
    EXPECT_EQ(lines.offset(), 4U);
    EXPECT_TRUE(lines.terminated());
    ASSERT_TRUE(lines.next().has_value());
    EXPECT_EQ(lines.offset(), 7U);
    EXPECT_FALSE(lines.terminated());
    ::lseek(handle.get(), 4, SEEK_SET);
    LineReader rest(handle.get(), 4, 1);
    ASSERT_TRUE(rest.next().has_value());
    EXPECT_EQ(rest.number(), 2U);
    EXPECT_EQ(rest.offset(), 7U);
}

TEST_F(ResumeTest, an_export_goes_on_behind_the_last_complete_record) {
    Answer<ExportFile> opened = continued("a\t1\nb\t2\nc\t3 and this was cu");
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(opened->records_before(), 2U);
    EXPECT_EQ(opened->last_key(), bytes_of("b"));
    ASSERT_TRUE(opened->append("c\t3 and more\n").has_value());
    ASSERT_TRUE(opened->sync().has_value());
    EXPECT_EQ(content(), "a\t1\nb\t2\nc\t3 and more\n");
    const Answer<ExportFile> fresh = ExportFile::resume(folder_ / "fresh", RecordFormat::tsv, {});
    ASSERT_TRUE(fresh.has_value());
    EXPECT_EQ(fresh->records_before(), 0U);
}

TEST_F(ResumeTest, a_file_that_is_no_beginning_of_the_export_is_left_as_it_is) {
    const auto refused = [&](const std::string& text, const std::string& prefix, const std::string& why) {
        const Answer<ExportFile> opened = continued(text, prefix);
        ASSERT_FALSE(opened.has_value()) << text;
        EXPECT_EQ(opened.error().exit, Exit::usage);
        EXPECT_THAT(opened.error().message, HasSubstr(why));
        EXPECT_EQ(content(), text);
    };
    refused("a\t1\nno tab\nc\t3\n", "", "line 2: no tab");
    refused("b\t1\na\t2\n", "", "line 2: its key is not above");
    refused("a\t1\na\t2\n", "", "line 2: its key is not above");
    refused("users/1\tx\nz\ty\n", "users/", "line 2: its key does not begin with the prefix");
    refused("Dear diary", "", "no complete record");
}

TEST_F(ResumeTest, an_export_replaces_no_file_unasked) {
    const Answer<ExportFile> opened = ExportFile::create(file("a\t1\n"));
    ASSERT_FALSE(opened.has_value());
    EXPECT_THAT(opened.error().message, HasSubstr("--resume"));
    EXPECT_EQ(content(), "a\t1\n");
}

TEST(TransferProgressTest, a_bar_needs_the_whole_and_the_rest_goes_at_this_runs_rate) {
    TransferProgress progress;
    progress.records = 500;
    progress.bytes = 5'120;
    progress.seconds = 2.0;
    EXPECT_EQ(transfer_text(progress), "500 records, 250/s, 2.5 KiB/s");
    progress.done = 7'000;
    progress.done_before = 5'000;
    progress.all = 10'000;
    EXPECT_EQ(transfer_text(progress),
              "[#####################.........]  70 %  500 records, 250/s, 2.5 KiB/s, 0:03 left");
    progress.done = 5'000;
    EXPECT_THAT(transfer_text(progress), HasSubstr("- left")) << "nothing is known yet";
    progress.seconds = 0.0;
    EXPECT_THAT(transfer_text(progress), HasSubstr("500 records, 0/s"));
}

TEST(TransferProgressTest, durations_and_sizes_are_short) {
    EXPECT_EQ(duration_text(0.4), "0:00");
    EXPECT_EQ(duration_text(59.6), "1:00");
    EXPECT_EQ(duration_text(3'723), "1:02:03");
    EXPECT_EQ(duration_text(-1), "-");
    EXPECT_EQ(duration_text(1e12), "-");
    EXPECT_EQ(bytes_text(412), "412 B");
    EXPECT_EQ(bytes_text(3.0 * 1'024 * 1'024), "3.0 MiB");
}

}  // namespace
}  // namespace loyal::cli

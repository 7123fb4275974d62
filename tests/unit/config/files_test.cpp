#include "config/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "tests/unit/config/temporary_folder.h"

namespace loyal {
namespace {

using test::entries_in;
using test::read_text;
using test::TemporaryFolder;
using test::write_text;
using testing::HasSubstr;

TEST(WriteNewFile, writes_all_or_refuses) {
    const TemporaryFolder folder;
    ASSERT_TRUE(write_new_file(folder / "a", view_of("content"), 0640));
    EXPECT_EQ(read_text(folder / "a"), "content");
    const auto again = write_new_file(folder / "a", view_of("other"), 0640);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::conflict);
    EXPECT_EQ(read_text(folder / "a"), "content");
    EXPECT_EQ(entries_in(folder.path()), 1U);
}

TEST(WriteNewFile, names_the_folder_that_is_missing) {
    const TemporaryFolder folder;
    const auto written = write_new_file(folder / "missing" / "a", view_of("x"), 0600);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, Errc::not_found);
    EXPECT_THAT(written.error().message, HasSubstr("missing/a"));
}

TEST(WriteNewFile, of_many_writers_one_wins) {
    const TemporaryFolder folder;
    std::array<bool, 8> won{};
    std::vector<std::thread> writers;
    for (std::size_t i = 0; i < won.size(); ++i) {
        writers.emplace_back([&folder, &won, i] {
            won[i] =
                write_new_file(folder / "a", view_of(std::string(1, static_cast<char>('0' + i))), 0600).has_value();
        });
    }
    for (auto& writer : writers) {
        writer.join();
    }
    ASSERT_EQ(std::count(won.begin(), won.end(), true), 1);
    const auto winner = std::find(won.begin(), won.end(), true) - won.begin();
    EXPECT_EQ(read_text(folder / "a"), std::to_string(winner));
    EXPECT_EQ(entries_in(folder.path()), 1U);
}

TEST(WriteNewFile, reports_a_full_disk_as_one) {
    if (::access("/dev/full", W_OK) != 0) {
        GTEST_SKIP() << "no /dev/full here";
    }
    const auto error = fail_errno("cannot write", "/some/file", ENOSPC);
    EXPECT_EQ(error.value().code, Errc::disk_full);
    EXPECT_THAT(error.value().message, HasSubstr("/some/file"));
}

TEST(ReadFile, reads_up_to_its_bound) {
    const TemporaryFolder folder;
    write_text(folder / "a", "12345");
    std::array<std::uint8_t, 5> exact{};
    EXPECT_EQ(read_file(folder / "a", exact, Secrecy::open_to_all), 5U);
    EXPECT_EQ(text_of(exact), "12345");
    std::array<std::uint8_t, 4> tight{};
    const auto size = read_file(folder / "a", tight, Secrecy::open_to_all);
    ASSERT_FALSE(size);
    EXPECT_EQ(size.error().code, Errc::invalid_argument);
    EXPECT_THAT(size.error().message, HasSubstr("too large"));
}

TEST(ReadFile, only_secrets_must_not_be_links) {
    const TemporaryFolder folder;
    write_text(folder / "a", "12345");
    ASSERT_EQ(::chmod((folder / "a").c_str(), 0600), 0);
    std::filesystem::create_symlink(folder / "a", folder / "link");
    std::array<std::uint8_t, 8> buffer{};
    EXPECT_TRUE(read_file(folder / "link", buffer, Secrecy::open_to_all));
    const auto size = read_file(folder / "link", buffer, Secrecy::owner_only);
    ASSERT_FALSE(size);
    EXPECT_EQ(size.error().code, Errc::permission);
}

TEST(FileHandle, closes_what_it_holds_once) {
    const TemporaryFolder folder;
    write_text(folder / "a", "x");
    const int descriptor = ::open((folder / "a").c_str(), O_RDONLY);
    {
        FileHandle first(descriptor);
        FileHandle second = std::move(first);
        EXPECT_FALSE(first.valid());  // NOLINT: that is the question
        EXPECT_EQ(second.get(), descriptor);
        EXPECT_NE(::fcntl(descriptor, F_GETFD), -1);
    }
    EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1);
}

}  // namespace
}  // namespace loyal

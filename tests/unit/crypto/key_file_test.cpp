#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "crypto/digest.h"
#include "crypto/identity.h"
#include "tests/unit/config/temporary_folder.h"
#include "tests/unit/crypto/hex.h"

namespace loyal::crypto {
namespace {

using loyal::test::entries_in;
using loyal::test::read_text;
using loyal::test::TemporaryFolder;
using loyal::test::write_text;
using test::seed_of;

KeyFile sample_key() {
    return {"replica", "3", Identity::from_seed(seed_of(7))};
}

mode_t mode_of(const std::filesystem::path& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 07777U;
}

void write_private(const std::filesystem::path& path, const std::string& text) {
    write_text(path, text);
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
}

TEST(KeyFile, comes_back_as_it_was_written) {
    const TemporaryFolder folder;
    const auto path = folder / "replica-3.key";
    ASSERT_TRUE(write_key_file(path, sample_key()));
    const auto key = read_key_file(path);
    ASSERT_TRUE(key) << key.error().message;
    EXPECT_EQ(key->kind, "replica");
    EXPECT_EQ(key->name, "3");
    EXPECT_EQ(key->identity.public_key(), sample_key().identity.public_key());
    EXPECT_EQ(key->identity.sign(view_of("m")), sample_key().identity.sign(view_of("m")));
}

TEST(KeyFile, is_private_in_a_private_folder_whatever_the_umask) {
    const TemporaryFolder folder;
    const mode_t before = ::umask(0);
    const auto path = folder / "keys" / "replica-3.key";
    const auto written = write_key_file(path, sample_key());
    ::umask(0277);
    const auto other = write_key_file(folder / "other" / "replica-3.key", sample_key());
    ::umask(before);
    ASSERT_TRUE(written) << written.error().message;
    ASSERT_TRUE(other) << other.error().message;
    EXPECT_EQ(mode_of(path), 0600U);
    EXPECT_EQ(mode_of(path.parent_path()), 0700U);
    EXPECT_EQ(mode_of(folder / "other" / "replica-3.key"), 0600U);
    EXPECT_EQ(entries_in(path.parent_path()), 1U) << "no temporary file may stay";
}

TEST(KeyFile, is_never_overwritten) {
    const TemporaryFolder folder;
    const auto path = folder / "a.key";
    ASSERT_TRUE(write_key_file(path, sample_key()));
    const std::string before = read_text(path);
    const auto again = write_key_file(path, {"client", "a", Identity::generate()});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::conflict);
    EXPECT_EQ(read_text(path), before);
    EXPECT_EQ(entries_in(folder.path()), 1U);
}

TEST(KeyFile, is_not_written_through_a_symbolic_link) {
    const TemporaryFolder folder;
    std::filesystem::create_symlink(folder / "elsewhere", folder / "a.key");
    const auto written = write_key_file(folder / "a.key", sample_key());
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, Errc::conflict);
    EXPECT_FALSE(std::filesystem::exists(folder / "elsewhere"));
}

TEST(KeyFile, is_not_put_where_others_may_write) {
    const TemporaryFolder folder;
    ASSERT_EQ(::chmod(folder.path().c_str(), 0770), 0);
    const auto written = write_key_file(folder / "a.key", sample_key());
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, Errc::permission);
    EXPECT_NE(written.error().message.find("chmod 700"), std::string::npos);
    EXPECT_EQ(entries_in(folder.path()), 0U);
}

// The disk refuses in the middle of the write, as a full one does.
TEST(KeyFile, a_failed_write_leaves_nothing) {
    const TemporaryFolder folder;
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit tight = before;
    tight.rlim_cur = 50;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
    const auto written = write_key_file(folder / "a.key", sample_key());
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, handler);
    EXPECT_FALSE(written);
    EXPECT_EQ(entries_in(folder.path()), 0U);
}

TEST(KeyFile, is_refused_when_group_or_others_have_any_access) {
    const TemporaryFolder folder;
    const auto path = folder / "a.key";
    ASSERT_TRUE(write_key_file(path, sample_key()));
    for (const mode_t mode : {0640U, 0604U, 0620U, 0602U, 0610U, 0601U, 0644U, 0666U}) {
        ASSERT_EQ(::chmod(path.c_str(), mode), 0);
        const auto key = read_key_file(path);
        ASSERT_FALSE(key) << std::oct << mode;
        EXPECT_EQ(key.error().code, Errc::permission);
        EXPECT_NE(key.error().message.find("chmod 600"), std::string::npos) << key.error().message;
    }
    ASSERT_EQ(::chmod(path.c_str(), 0400), 0);
    EXPECT_TRUE(read_key_file(path));
}

TEST(KeyFile, is_not_read_through_a_symbolic_link) {
    const TemporaryFolder folder;
    ASSERT_TRUE(write_key_file(folder / "real.key", sample_key()));
    std::filesystem::create_symlink(folder / "real.key", folder / "a.key");
    const auto key = read_key_file(folder / "a.key");
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().code, Errc::permission);
}

TEST(KeyFile, that_is_missing_or_no_file_is_named) {
    const TemporaryFolder folder;
    const auto missing = read_key_file(folder / "a.key");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
    EXPECT_NE(missing.error().message.find("a.key"), std::string::npos);
    const auto directory = read_key_file(folder.path());
    ASSERT_FALSE(directory);
    EXPECT_EQ(directory.error().code, Errc::invalid_argument);
    ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
    EXPECT_FALSE(read_key_file(folder / "pipe")) << "and does not wait for a writer";
}

TEST(KeyFile, every_changed_byte_is_noticed) {
    const TemporaryFolder folder;
    ASSERT_TRUE(write_key_file(folder / "a.key", sample_key()));
    const std::string good = read_text(folder / "a.key");
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 1);
        write_private(folder / "b.key", bad);
        const auto key = read_key_file(folder / "b.key");
        ASSERT_FALSE(key) << i;
        EXPECT_EQ(key.error().code, Errc::corrupted);
    }
}

TEST(KeyFile, every_truncation_and_any_addition_is_noticed) {
    const TemporaryFolder folder;
    ASSERT_TRUE(write_key_file(folder / "a.key", sample_key()));
    const std::string good = read_text(folder / "a.key");
    for (std::size_t size = 0; size < good.size(); ++size) {
        write_private(folder / "b.key", good.substr(0, size));
        EXPECT_FALSE(read_key_file(folder / "b.key")) << size;
    }
    for (const auto* addition : {"\n", "x", " ", "name: 4\n"}) {
        write_private(folder / "b.key", good + addition);
        EXPECT_FALSE(read_key_file(folder / "b.key")) << addition;
    }
    write_private(folder / "b.key", std::string(1 << 20, 'x'));
    EXPECT_FALSE(read_key_file(folder / "b.key"));
}

// Somebody edits the file and mends the checksum: the two keys still do not belong together.
TEST(KeyFile, a_public_key_of_another_secret_is_refused) {
    const TemporaryFolder folder;
    ASSERT_TRUE(write_key_file(folder / "a.key", sample_key()));
    std::string text = read_text(folder / "a.key");
    const std::string other = to_base64(Identity::from_seed(seed_of(8)).public_key().bytes);
    text.replace(text.find("public: ") + 8, other.size(), other);
    const auto body = text.substr(0, text.find("checksum: "));
    write_private(folder / "b.key", body + "checksum: " + digest_of("keyfile", view_of(body)).hex() + "\n");
    const auto key = read_key_file(folder / "b.key");
    ASSERT_FALSE(key);
    EXPECT_NE(key.error().message.find("does not belong"), std::string::npos) << key.error().message;
}

TEST(KeyFile, names_cannot_leave_their_folder) {
    const TemporaryFolder folder;
    for (const auto* name : {"", ".", "..", "../x", "a/b", "-x", ".x", "a b", "a\n", "\xC3\xA4"}) {
        EXPECT_FALSE(is_valid_key_name(name)) << name;
        const auto written = write_key_file(folder / "a.key", {"client", name, Identity::from_seed(seed_of(1))});
        ASSERT_FALSE(written) << name;
        EXPECT_EQ(written.error().code, Errc::invalid_argument);
    }
    EXPECT_FALSE(is_valid_key_name(std::string(65, 'a')));
    EXPECT_TRUE(is_valid_key_name(std::string(64, 'a')));
    EXPECT_TRUE(is_valid_key_name("web-1.example_2"));
    EXPECT_FALSE(write_key_file(folder / "a.key", {"admin", "x", Identity::from_seed(seed_of(1))}));
}

}  // namespace
}  // namespace loyal::crypto

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/cluster.h"
#include "tests/unit/config/temporary_folder.h"

namespace loyal::config {
namespace {

using loyal::test::read_text;
using loyal::test::TemporaryFolder;
using loyal::test::write_text;
using testing::HasSubstr;

Birth sample_birth() {
    return {crypto::digest_of("cluster", view_of("ours")), 2};
}

TEST(Birth, a_folder_knows_whose_it_is) {
    const TemporaryFolder folder;
    ASSERT_TRUE(write_birth(folder / "d", sample_birth()));
    EXPECT_TRUE(check_birth(folder / "d", sample_birth()));
    EXPECT_TRUE(write_birth(folder.path() / "e", sample_birth()));
}

TEST(Birth, a_folder_of_another_cluster_or_replica_is_a_conflict) {
    const TemporaryFolder folder;
    ASSERT_TRUE(write_birth(folder / "d", sample_birth()));
    const Birth others[] = {{crypto::digest_of("cluster", view_of("theirs")), 2}, {sample_birth().cluster_id, 3}};
    for (const auto& other : others) {
        const auto checked = check_birth(folder / "d", other);
        ASSERT_FALSE(checked);
        EXPECT_EQ(checked.error().code, Errc::conflict);
        EXPECT_THAT(checked.error().message, HasSubstr("belongs to another"));
    }
}

TEST(Birth, a_missing_folder_or_record_is_not_found) {
    const TemporaryFolder folder;
    for (const auto& path : {folder / "missing", folder.path()}) {
        const auto checked = check_birth(path, sample_birth());
        ASSERT_FALSE(checked);
        EXPECT_EQ(checked.error().code, Errc::not_found);
        EXPECT_THAT(checked.error().message, HasSubstr("birth record"));
    }
}

TEST(Birth, happens_once_and_only_in_an_empty_folder) {
    const TemporaryFolder folder;
    ASSERT_TRUE(write_birth(folder / "d", sample_birth()));
    const auto again = write_birth(folder / "d", {sample_birth().cluster_id, 3});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::conflict);
    EXPECT_TRUE(check_birth(folder / "d", sample_birth()));

    std::filesystem::create_directory(folder / "used");
    write_text(folder / "used" / "data.mdb", "x");
    EXPECT_FALSE(write_birth(folder / "used", sample_birth()));
    write_text(folder / "file", "x");
    EXPECT_FALSE(write_birth(folder / "file", sample_birth()));
    std::filesystem::create_symlink(folder / "nowhere", folder / "link");
    EXPECT_FALSE(write_birth(folder / "link", sample_birth()));
}

TEST(Birth, every_changed_byte_and_every_truncation_is_noticed) {
    const TemporaryFolder folder;
    ASSERT_TRUE(write_birth(folder / "d", sample_birth()));
    const auto path = folder / "d" / "birth";
    const std::string good = read_text(path);
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 1);
        write_text(path, bad);
        const auto checked = check_birth(folder / "d", sample_birth());
        ASSERT_FALSE(checked) << i;
        EXPECT_EQ(checked.error().code, Errc::corrupted);
        write_text(path, good.substr(0, i));
        EXPECT_FALSE(check_birth(folder / "d", sample_birth())) << i;
    }
    write_text(path, good + "x");
    EXPECT_FALSE(check_birth(folder / "d", sample_birth()));
}

}  // namespace
}  // namespace loyal::config

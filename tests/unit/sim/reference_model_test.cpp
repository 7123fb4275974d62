#include "sim/checkers/reference_model.h"

#include <gtest/gtest.h>

namespace loyal::sim {
namespace {

using kvstore::Range;
using kvstore::Revision;
using kvstore::Status;

class ReferenceModelTest : public ::testing::Test {
 protected:
    // In a block of its own.
    Status apply(const kvstore::Operation& operation) {
        model_.begin_block(consensus::Hlc(++time_, 0));
        const Status status = model_.apply(operation, consensus::ClientId()).status;
        model_.end_block();
        return status;
    }
    Revision put(const std::string& key, const std::string& value) {
        EXPECT_EQ(apply(kvstore::Put{bytes_of(key), bytes_of(value)}), Status::ok);
        return model_.revision();
    }
    Revision del(const std::string& key) {
        EXPECT_EQ(apply(kvstore::Delete{bytes_of(key)}), Status::ok);
        return model_.revision();
    }
    [[nodiscard]] std::string at(const std::string& key, std::uint64_t revision) const {
        const auto result = model_.read(Range{bytes_of(key), {}, 0, false, false, false}, Revision(revision));
        return result.items.empty() ? "(absent)" : string_of(result.items.front().value);
    }
    ReferenceModel model_;
    std::uint64_t time_ = 0;
};

TEST_F(ReferenceModelTest, every_version_can_be_read_at_its_revision) {
    EXPECT_EQ(put("a", "1"), Revision(1));
    EXPECT_EQ(put("b", "x"), Revision(2));
    EXPECT_EQ(put("a", "2"), Revision(3));
    EXPECT_EQ(del("a"), Revision(4));
    EXPECT_EQ(at("a", 0), "(absent)");
    EXPECT_EQ(at("a", 1), "1");
    EXPECT_EQ(at("a", 2), "1");
    EXPECT_EQ(at("a", 3), "2");
    EXPECT_EQ(at("a", 4), "(absent)");
}

TEST_F(ReferenceModelTest, what_changes_nothing_takes_no_revision) {
    EXPECT_EQ(apply(kvstore::Delete{bytes_of("a")}), Status::not_found);
    kvstore::CompareAndSet cas{bytes_of("a"), bytes_of("1"), bytes_of("2")};
    EXPECT_EQ(apply(cas), Status::mismatch);
    EXPECT_EQ(model_.revision(), Revision(0));
    cas.expect.reset();
    EXPECT_EQ(apply(cas), Status::ok);
    EXPECT_EQ(model_.revision(), Revision(1));
}

TEST_F(ReferenceModelTest, versions_count_from_the_creation) {
    put("a", "1");
    put("a", "2");
    auto item = model_.read(Range{bytes_of("a"), {}, 0, false, false, false}, Revision(2)).items.front();
    EXPECT_EQ(item.version, 2U);
    EXPECT_EQ(item.created, Revision(1));
    del("a");
    put("a", "3");
    item = model_.read(Range{bytes_of("a"), {}, 0, false, false, false}, Revision(4)).items.front();
    EXPECT_EQ(item.version, 1U);
    EXPECT_EQ(item.created, Revision(4));
}

TEST_F(ReferenceModelTest, ranges_have_ends_limits_and_directions) {
    for (const char* key : {"a", "b", "c", "d"}) {
        put(key, key);
    }
    const auto keys = [&](Range range) {
        std::string text;
        for (const auto& item : model_.read(range, model_.revision()).items) {
            text += string_of(item.key);
        }
        return text;
    };
    EXPECT_EQ(keys({bytes_of("b"), bytes_of("d"), 0, false, false, false}), "bc");
    EXPECT_EQ(keys({bytes_of("b"), Bytes(), 0, false, false, false}), "bcd");
    EXPECT_EQ(keys({bytes_of("a"), Bytes(), 2, true, false, false}), "dc");
    const auto counted = model_.read({bytes_of("a"), Bytes(), 0, false, false, true}, model_.revision());
    EXPECT_EQ(counted.count, 4U);
    EXPECT_TRUE(counted.items.empty());
}

}  // namespace
}  // namespace loyal::sim

#include "replica/watch_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace loyal::replica {
namespace {

struct Range {
    Bytes begin;
    std::optional<Bytes> end;
};

bool covers(const Range& range, const Bytes& key) {
    if (!range.end) {
        return key == range.begin;
    }
    return key >= range.begin && (range.end->empty() || key < *range.end);
}

TEST(WatchIndex, finds_exactly_the_watches_of_a_key_whatever_is_added_and_removed) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        std::mt19937_64 random(seed);
        const auto any_key = [&random] {
            Bytes key(1 + random() % 3);
            for (std::uint8_t& byte : key) {
                byte = static_cast<std::uint8_t>('a' + random() % 4);
            }
            return key;
        };
        WatchIndex index(seed);
        std::map<WatchIndex::Handle, Range> ranges;
        for (std::uint64_t handle = 1; handle <= 600; ++handle) {
            Range range{any_key(), std::nullopt};
            if (random() % 4 != 0) {
                range.end = random() % 8 == 0 ? Bytes() : any_key();  // also ranges that hold nothing
            }
            index.add(handle, range.begin, range.end);
            ranges[handle] = range;
            if (random() % 3 == 0) {
                const auto gone = std::next(ranges.begin(), static_cast<std::ptrdiff_t>(random() % ranges.size()));
                index.remove(gone->first, gone->second.begin, gone->second.end);
                ranges.erase(gone);
            }
            const Bytes key = any_key();
            std::vector<WatchIndex::Handle> found;
            index.match(key, found);
            std::sort(found.begin(), found.end());
            std::vector<WatchIndex::Handle> expected;
            for (const auto& [each, of] : ranges) {
                if (covers(of, key)) {
                    expected.push_back(each);
                }
            }
            ASSERT_EQ(found, expected) << "seed " << seed << ", step " << handle;
            ASSERT_EQ(index.size(), ranges.size());
        }
    }
}

}  // namespace
}  // namespace loyal::replica

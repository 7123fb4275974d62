// A session that writes to a scripted cluster.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "tests/unit/client/scripted_cluster.h"

namespace loyal::client::test {

class SessionWrite : public testing::Test {
 protected:
    // Connects everybody, writes one key, and gives the envelope that went to the primary.
    consensus::Envelope launched(std::uint64_t view = 0) {
        cluster.connect_all(view);
        index = cluster.write(put("k"));
        auto sent = cluster.take_envelopes();
        EXPECT_EQ(sent.size(), 1U);
        return sent.at(0).second;
    }
    [[nodiscard]] const std::optional<WriteResult>& result() const { return cluster.writes.at(index); }

    ScriptedCluster cluster;
    std::size_t index = 0;
};

}  // namespace loyal::client::test

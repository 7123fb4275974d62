// A traitor is convicted: by whom, for how long, and before whom.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int proven = 0, not_found = 1, unreadable = 2, not_proven = 6;

json evidence_of(const ClusterOfProcesses& cluster) {
    const Ran ran = cluster.loyal({"evidence", "list", "-w", "json"});
    EXPECT_EQ(ran.exit, 0) << ran.error;
    return ran.exit == 0 ? json::parse(ran.out)["evidence"] : json::array();
}

// Id of a proof against `culprit`; empty: nobody holds one.
std::string proof_against(const ClusterOfProcesses& cluster, int culprit) {
    for (const json& each : evidence_of(cluster)) {
        if (each["culprit"] == culprit) {
            return each["id"];
        }
    }
    return "";
}

class Convicted : public ::testing::Test {
 protected:
    Convicted() : cluster({"--experiments"}) {
        cluster.up();
        EXPECT_EQ(cluster.loyal({"put", "before", "1"}).exit, 0);
        EXPECT_EQ(evidence_of(cluster), json::array()) << "nobody lied yet";
        traitor = cluster.await_primary();
        EXPECT_EQ(cluster.loyal({"traitor", std::to_string(traitor), "equivocate"}).exit, 0);
        EXPECT_TRUE(eventually([&] {
            (void)cluster.loyal({"put", "during", "2", "--timeout", "20s"});
            id = proof_against(cluster, traitor);
            return !id.empty();
        })) << cluster.all_logs();
    }
    [[nodiscard]] std::vector<int> holders() const {
        for (const json& each : evidence_of(cluster)) {
            if (each["id"] == id) {
                return each["held_by"];
            }
        }
        return {};
    }
    [[nodiscard]] Ran verify(const std::string& file) const {
        return cluster.loyal({"evidence", "verify", file, "-w", "json"});
    }

    ClusterOfProcesses cluster;
    int traitor = -1;
    std::string id;
};

TEST_F(Convicted, an_equivocating_primary_by_a_proof_that_survives_its_holder_and_needs_no_replica) {
    for (const json& each : evidence_of(cluster)) {
        EXPECT_EQ(each["culprit"], traitor) << each.dump();
    }
    ASSERT_FALSE(holders().empty());
    const int holder = holders().front();
    ASSERT_NE(holder, traitor);
    EXPECT_THAT(cluster.log_of(holder), HasSubstr("event=accuse culprit=" + std::to_string(traitor)));
    // It is on the disk soon: with the next write at the latest.
    ASSERT_EQ(cluster.loyal({"put", "after", "3", "--timeout", "20s"}).exit, 0);
    cluster.kill(holder);
    EXPECT_THAT(holders(), Not(Contains(holder)));
    cluster.up();
    EXPECT_TRUE(eventually([&] { return ::testing::Value(holders(), Contains(holder)); })) << cluster.log_of(holder);

    const Ran shown = cluster.loyal({"evidence", "show", id.substr(0, 12)});
    ASSERT_EQ(shown.exit, 0) << shown.error;
    EXPECT_THAT(shown.out, HasSubstr("replica " + std::to_string(traitor) + ": "));
    EXPECT_THAT(shown.out, HasSubstr("differs"));
    const std::string file = cluster.path("proof.json");
    ASSERT_EQ(cluster.loyal({"evidence", "save", id, file}).exit, 0);
    EXPECT_EQ(cluster.loyal({"evidence", "save", id, file}).exit, unreadable) << "nothing is overwritten";

    ASSERT_EQ(cluster.down().exit, 0);
    const Ran verdict = verify(file);
    ASSERT_EQ(verdict.exit, proven) << verdict.error;
    EXPECT_EQ(json::parse(verdict.out)["culprit"], traitor);
    EXPECT_EQ(json::parse(verdict.out)["id"], id);
}

TEST_F(Convicted, nobody_by_a_file_that_was_altered_or_is_of_another_cluster) {
    const std::string file = cluster.path("proof.json");
    ASSERT_EQ(cluster.loyal({"evidence", "save", id, file}).exit, 0);
    const json good = json::parse(read_text(file));
    const auto verdict_on = [&](const json& document) {
        write_text(cluster.path("altered.json"), document.dump(2));
        return verify(cluster.path("altered.json")).exit;
    };
    ASSERT_EQ(verdict_on(good), proven);
    for (const char* part : {"first", "second", "id"}) {
        json altered = good;
        std::string hex = altered[part];
        hex[hex.size() / 2] = hex[hex.size() / 2] == '0' ? '1' : '0';
        altered[part] = hex;
        EXPECT_EQ(verdict_on(altered), not_proven) << part;
    }
    json blames = good;
    blames["culprit"] = (traitor + 1) % 4;
    EXPECT_EQ(verdict_on(blames), not_proven);
    json kind = good;
    kind["kind"] = "E7";
    EXPECT_EQ(verdict_on(kind), not_proven);
    json more = good;
    more["remark"] = "believe me";
    EXPECT_EQ(verdict_on(more), not_proven);

    write_text(cluster.path("no.json"), "{\"format\":");
    EXPECT_EQ(verify(cluster.path("no.json")).exit, unreadable);
    EXPECT_EQ(verify(cluster.path("absent.json")).exit, unreadable);
    EXPECT_EQ(cluster.loyal({"evidence", "show", "ffffffffffff"}).exit, not_found);
    EXPECT_EQ(cluster.loyal({"evidence", "show", "?"}).exit, unreadable);

    const std::string elsewhere = cluster.path("elsewhere");
    ASSERT_EQ(run({program_folder() / "loyal", "cluster", "init", elsewhere, "--base-port", "0"}).exit, 0);
    const Ran foreign = run({program_folder() / "loyal", "--cluster", elsewhere, "evidence", "verify", file});
    EXPECT_EQ(foreign.exit, not_proven) << foreign.out;
    EXPECT_THAT(foreign.error, HasSubstr("another cluster"));
}

}  // namespace
}  // namespace loyal::system_test

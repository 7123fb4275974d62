// `loyal lab` end to end, with real processes: verdicts, files, exit codes, and nothing left running.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/system/cluster.h"
#include "tests/system/process.h"
#include "tests/system/scratch.h"

namespace loyal::system_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Json = nlohmann::json;

// A folder for the run's files and for the clusters' temporary ones.
class Lab : public testing::Test {
 protected:
    Lab() {
        std::string pattern = (scratch_folder() / "lab-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
        fs::create_directory(folder_ / "tmp");
    }
    ~Lab() override {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    [[nodiscard]] Process::Options options() const {
        Process::Options all;
        all.environment["TMPDIR"] = (folder_ / "tmp").string();
        return all;
    }
    [[nodiscard]] std::vector<std::string> command(const std::vector<std::string>& words) const {
        std::vector<std::string> all = {(program_folder() / "loyal").string(), "lab"};
        all.insert(all.end(), words.begin(), words.end());
        return all;
    }
    Ran lab(const std::vector<std::string>& words) const {
        return run(command(words), options(), std::chrono::seconds(90));
    }
    [[nodiscard]] std::string out() const { return (folder_ / "out").string(); }
    [[nodiscard]] Json verdict() const { return Json::parse(read_text(folder_ / "out" / "verdict.json")); }
    [[nodiscard]] std::string scenario(const std::string& rest) const {
        const fs::path path = folder_ / "mine.toml";
        write_text(path, "title = \"t\"\nparagraph = \"p\"\n[times]\nbefore = 1\nduring = 2\nafter = 1.5\n" + rest);
        return path.string();
    }
    // Every cluster's folder is gone, so every replica's data folder is free.
    [[nodiscard]] bool left_nothing() const { return fs::is_empty(folder_ / "tmp"); }

    fs::path folder_;
};

TEST_F(Lab, equivocating_primary_is_convicted_and_safety_holds) {
    const Ran ran = lab({"run", "equivocating-primary", "--out", out(), "--seed", "7"});
    EXPECT_EQ(ran.exit, 0) << ran.out << ran.error;
    const Json json = verdict();
    EXPECT_EQ(json["verdict"], "as-expected");
    EXPECT_EQ(json["seed"], 7);
    EXPECT_EQ(json["agreement"], true);
    EXPECT_EQ(json["linearizable"], true);
    EXPECT_EQ(json["durable"], true);
    EXPECT_GT(json["ops"].get<int>(), 50);
    EXPECT_FALSE(json["evidence"].empty());
    std::ifstream history(folder_ / "out" / "history.jsonl");
    std::size_t lines = 0;
    for (std::string line; std::getline(history, line); ++lines) {
        EXPECT_TRUE(Json::parse(line).contains("call")) << line;
    }
    EXPECT_GE(lines, json["ops"].get<std::size_t>());
    EXPECT_TRUE(left_nothing());

    // The stored run renders again, to the same page.
    const std::string page = read_text(folder_ / "out" / "report.html");
    EXPECT_THAT(page, HasSubstr("A primary that tells two stories"));
    fs::remove(folder_ / "out" / "report.html");
    EXPECT_EQ(lab({"report", out()}).exit, 0);
    EXPECT_FALSE(read_text(folder_ / "out" / "report.html").empty());
}

TEST_F(Lab, one_traitor_too_many_breaks_safety_and_the_verdict_shows_where) {
    const Ran ran = lab({"run", "one-traitor-too-many", "--out", out(), "-w", "json"});
    EXPECT_EQ(ran.exit, 0) << ran.out << ran.error;
    const Json json = verdict();
    EXPECT_EQ(json["verdict"], "as-expected");
    ASSERT_FALSE(json["violations"].empty());
    EXPECT_TRUE(json["violations"][0]["height"].is_number() || json["violations"][0]["key"].is_string());
    EXPECT_EQ(Json::parse(ran.out), json);
}

TEST_F(Lab, every_replica_loses_power_and_nothing_acknowledged_is_lost) {
    const Ran ran = lab({"run", "power-cut", "--out", out()});
    EXPECT_EQ(ran.exit, 0) << ran.out << ran.error;
    EXPECT_EQ(verdict()["durable"], true);
    EXPECT_TRUE(left_nothing());
}

TEST_F(Lab, a_wrong_expectation_exits_with_1_and_says_why) {
    // Nothing at all is done to this cluster.
    const Ran ran = lab({"run", scenario("[expect]\nviolated = [\"agreement\"]\n"), "--out", out()});
    EXPECT_EQ(ran.exit, 1) << ran.out << ran.error;
    EXPECT_EQ(verdict()["verdict"], "violated");
    EXPECT_THAT(verdict()["reasons"].dump(), HasSubstr("agreement was expected to break"));
}

TEST_F(Lab, an_interrupted_run_ends_its_replicas) {
    Process process(command({"run", scenario("[workload]\nclients = 2\n"), "--out", out()}), options());
    ASSERT_TRUE(eventually([&] { return !left_nothing(); }));
    process.signal(SIGINT);
    EXPECT_EQ(process.finish().exit == 0, false);
    EXPECT_TRUE(left_nothing());
}

TEST_F(Lab, bad_input_is_refused_before_anything_starts) {
    EXPECT_EQ(lab({"run", "equivocating-primari"}).exit, 2);
    EXPECT_THAT(lab({"run", "equivocating-primari"}).error, HasSubstr("equivocating-primary"));
    const Ran typo = lab({"run", scenario("[[step]]\nat = 1\nfault = \"0 byzantine slient\"\n")});
    EXPECT_EQ(typo.exit, 2);
    EXPECT_THAT(typo.error, testing::AllOf(HasSubstr("mine.toml"), HasSubstr("slient"), HasSubstr("silent")));
    EXPECT_EQ(lab({"run", scenario("[[step]]\nat = 1\nfault = \"0,1,2,3,4,5,6 byzantine silent\"\n")}).exit, 2);
    EXPECT_EQ(lab({"run", "crash-stop-restart-refused", "--sim"}).exit, 2);
    EXPECT_EQ(lab({"report", out()}).exit, 2);
    EXPECT_TRUE(left_nothing());
}

TEST_F(Lab, list_shows_every_scenario) {
    const Ran ran = lab({"list", "-w", "json"});
    EXPECT_EQ(ran.exit, 0);
    EXPECT_GE(Json::parse(ran.out).size(), 50U);
}

}  // namespace
}  // namespace loyal::system_test

// Imports and exports that are cut short, and go on.
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/system/cluster.h"
#include "tests/system/terminal.h"

namespace loyal::system_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

// In key order, as export writes them.
std::string records(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
        char line[80];
        std::snprintf(line, sizeof line, "key-%07zu\tvalue %zu \\t \\\\ \xC3\xA4 \xFF\n", i, i * i);
        text += line;
    }
    return text;
}

class ResumeTest : public ::testing::Test {
 protected:
    ResumeTest() { cluster_.up(); }

    // Waits until the state says that some, but not all, is stored.
    [[nodiscard]] bool under_way() const {
        return eventually([&] {
            const json state = json::parse(read_text(state_), nullptr, false);
            return state.is_object() && state["line"] > 0;
        });
    }
    void expect_round_trip(const std::string& text) const {
        const Ran exported = cluster_.loyal({"export"});
        EXPECT_EQ(exported.exit, 0) << exported.error;
        EXPECT_TRUE(exported.out == text) << exported.out.size() << " bytes came back of " << text.size();
    }

    ClusterOfProcesses cluster_;
    std::string input_ = cluster_.path("in.tsv");
    std::string state_ = cluster_.path("import.state");
};

TEST_F(ResumeTest, an_import_that_was_killed_goes_on_where_it_was) {
    const std::string text = records(100'000);
    write_text(input_, text);
    const auto import = cluster_.start_loyal({"import", input_, "--resume", state_});
    ASSERT_TRUE(under_way());
    import->signal(SIGKILL);
    EXPECT_EQ(import->finish().exit, 128 + SIGKILL);
    const json state = json::parse(read_text(state_));
    ASSERT_LT(state["line"], 100'000);
    // What the state says is stored is stored.
    const std::uint64_t stored = std::stoull(cluster_.loyal({"get", "--prefix", "", "--count"}).out);
    EXPECT_GE(stored, state["line"].get<std::uint64_t>());
    EXPECT_EQ(state["offset"], records(state["line"].get<std::size_t>()).size());
    const Ran resumed = cluster_.loyal({"import", input_, "--resume", state_, "-w", "json"});
    ASSERT_EQ(resumed.exit, 0) << resumed.error;
    EXPECT_EQ(json::parse(resumed.out)["resumed_after_line"], state["line"]);
    EXPECT_EQ(json::parse(resumed.out)["records"].get<std::uint64_t>(), 100'000 - state["line"].get<std::uint64_t>());
    EXPECT_FALSE(fs::exists(state_)) << "nothing is left to go on with";
    expect_round_trip(text);
}

TEST_F(ResumeTest, an_import_that_was_interrupted_or_lost_its_quorum_goes_on) {
    const std::string text = records(60'000);
    write_text(input_, text);
    const auto interrupted = cluster_.start_loyal({"import", input_, "--resume", state_});
    ASSERT_TRUE(under_way());
    interrupted->signal(SIGINT);
    const Ran first = interrupted->finish();
    EXPECT_EQ(first.exit, 1) << first.error;
    EXPECT_THAT(first.error, HasSubstr("interrupted: "));
    EXPECT_THAT(first.error, HasSubstr("run the same command again to go on"));
    const std::uint64_t line = json::parse(read_text(state_))["line"];

    const auto alone = cluster_.start_loyal({"import", input_, "--resume", state_, "--timeout", "2s"});
    ASSERT_TRUE(eventually([&] {
        const json state = json::parse(read_text(state_), nullptr, false);
        return state.is_object() && state["line"] > line;
    }));
    const std::vector<pid_t> stopped = {cluster_.pid_of(1), cluster_.pid_of(2)};
    for (const pid_t pid : stopped) {
        ::kill(pid, SIGSTOP);
    }
    const Ran second = alone->finish();
    EXPECT_TRUE(second.exit == 3 || second.exit == 4) << second.exit << second.error;
    EXPECT_THAT(second.error, HasSubstr("are stored; run the same command again"));
    for (const pid_t pid : stopped) {
        ::kill(pid, SIGCONT);
    }
    const Ran third = cluster_.loyal({"import", input_, "--resume", state_});
    EXPECT_EQ(third.exit, 0) << third.error;
    EXPECT_THAT(third.out, HasSubstr("behind line "));
    expect_round_trip(text);
}

TEST_F(ResumeTest, a_state_goes_on_with_a_corrected_file_and_with_no_other) {
    // What an interrupted import leaves.
    write_text(input_, records(60'000));
    const auto import = cluster_.start_loyal({"import", input_, "--resume", state_});
    ASSERT_TRUE(under_way());
    import->signal(SIGINT);
    ASSERT_EQ(import->finish().exit, 1);
    const std::string left = read_text(state_);
    const json state = json::parse(left);
    const std::size_t stored = state["offset"];
    const auto refused = [&](const std::string& why) {
        const Ran ran = cluster_.loyal({"import", input_, "--resume", state_});
        EXPECT_EQ(ran.exit, 2);
        EXPECT_THAT(ran.error, HasSubstr(why));
    };
    std::string changed = records(60'000);
    changed[stored - 2] = 'X';
    write_text(input_, changed);
    refused("bytes are not those that were stored");
    write_text(input_, changed.substr(0, stored / 2));
    refused("bytes are not those that were stored");
    EXPECT_EQ(read_text(state_), left);
    json foreign = state;
    foreign["cluster_id"] = "another";
    write_text(state_, foreign.dump());
    refused("it went into another cluster");
    write_text(state_, "a\t1\n");
    refused("is not the state of an import");
    EXPECT_EQ(read_text(state_), "a\t1\n") << "somebody's file is left alone";

    // Behind what is stored anything may be different: a bad line is found, corrected, and the import goes on.
    write_text(state_, left);
    write_text(input_, records(60'000).substr(0, stored) + "no tab\n");
    refused("line " + std::to_string(state["line"].get<std::uint64_t>() + 1) + ": no tab");
    write_text(input_, records(60'000).substr(0, stored) + "z\tcorrected\n");
    EXPECT_EQ(cluster_.loyal({"import", input_, "--resume", state_}).out.substr(0, 18), "1 records imported");
    EXPECT_EQ(cluster_.get("z"), "corrected");
}

TEST_F(ResumeTest, a_line_that_is_cut_short_is_named_and_nothing_behind_it_is_skipped) {
    write_text(input_, "a\t1\nb\t2\nc\tcut sho");
    const Ran file = cluster_.loyal({"import", input_});
    EXPECT_EQ(file.exit, 2);
    EXPECT_THAT(file.error, HasSubstr("line 3: the line does not end with a newline"));
    EXPECT_THAT(file.error, HasSubstr("0 records were stored"));
    EXPECT_EQ(cluster_.loyal({"get", "--prefix", "", "--count"}).out, "0\n");
    const std::string shell_line = "printf 'a\\t1\\nb\\t2\\n{\"key\\nd\\t4\\n' | " +
                                   (program_folder() / "loyal").string() + " --cluster " + cluster_.folder().string() +
                                   " import -";
    const Ran piped = run({"/bin/sh", "-c", shell_line});
    EXPECT_EQ(piped.exit, 2);
    EXPECT_THAT(piped.error, HasSubstr("line 3: no tab"));
    EXPECT_THAT(piped.error, HasSubstr("the 2 records before it were imported, nothing after it"));
    EXPECT_EQ(cluster_.loyal({"get", "--prefix", "", "--keys-only"}).out, "a\nb\n");
    write_text(cluster_.path("cut.jsonl"), "{\"key\":\"x\",\"value\":\"1\"}\n{\"key\":\"y\",\"val");
    EXPECT_THAT(cluster_.loyal({"import", cluster_.path("cut.jsonl")}).error, HasSubstr("line 2: not a JSON object"));
}

TEST_F(ResumeTest, an_export_goes_on_behind_its_last_whole_record) {
    const std::string text = records(20'000);
    write_text(input_, text);
    ASSERT_EQ(cluster_.loyal({"import", input_}).exit, 0);
    const std::string out = cluster_.path("out.tsv");
    {
        const auto killed = cluster_.start_loyal({"export", out});
        ASSERT_TRUE(eventually([&] {
            std::error_code ignored;
            return fs::exists(out) && fs::file_size(out, ignored) > 0;
        }));
        killed->signal(SIGKILL);
        (void)killed->finish();
    }
    EXPECT_EQ(cluster_.loyal({"export", out}).exit, 2) << "it is there already";
    ASSERT_EQ(cluster_.loyal({"export", out, "--resume"}).exit, 0);
    EXPECT_TRUE(read_text(out) == text);
    for (const std::size_t size : {text.size() / 2, text.size() - 1, std::size_t{60}}) {
        fs::resize_file(out, size);
        const Ran resumed = cluster_.loyal({"export", out, "--resume"});
        ASSERT_EQ(resumed.exit, 0) << resumed.error;
        EXPECT_THAT(resumed.error, HasSubstr("are of an earlier run"));
        EXPECT_TRUE(read_text(out) == text) << size;
    }
    write_text(out, "zebra\t1\nkey-0000001\tx\n");
    EXPECT_EQ(cluster_.loyal({"export", out, "--resume"}).exit, 2);
    EXPECT_EQ(read_text(out), "zebra\t1\nkey-0000001\tx\n");
}

TEST_F(ResumeTest, progress_is_shown_to_a_person_and_to_nobody_else) {
    write_text(input_, records(30'000));
    const Ran quiet = cluster_.loyal({"import", input_});
    EXPECT_EQ(quiet.exit, 0);
    EXPECT_EQ(quiet.error, "");
    Terminal terminal(
        {(program_folder() / "loyal").string(), "--cluster", cluster_.folder().string(), "import", input_}, {});
    EXPECT_TRUE(terminal.shows("% ")) << terminal.screen();
    EXPECT_EQ(terminal.finish(std::chrono::seconds(60)), 0);
    EXPECT_THAT(terminal.screen(), HasSubstr("iB/s, 0:0"));
    EXPECT_THAT(terminal.screen(), HasSubstr(" left"));
    EXPECT_THAT(terminal.screen(), HasSubstr("30000 records imported"));
}

}  // namespace
}  // namespace loyal::system_test

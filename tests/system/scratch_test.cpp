// Nothing of a test outlives it, even when it is killed in the middle.
#include <signal.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <cstdio>
#include <sstream>

#include "tests/system/cluster.h"
#include "tests/system/scratch.h"

namespace loyal::system_test {
namespace {

namespace fs = std::filesystem;

// Run by the test below only, in a process of its own.
TEST(Scratch, DISABLED_is_killed_while_replicas_run) {
    ClusterOfProcesses cluster;
    cluster.up();
    const std::unique_ptr<Process> child = cluster.start_loyal({"watch", "", "--prefix"});
    std::printf("pids %d", child->pid());
    for (int id = 0; id < 4; ++id) {
        std::printf(" %d", cluster.pid_of(id));
    }
    std::printf("\nfolder %s\n", scratch_folder().c_str());
    std::fflush(stdout);
    (void)::kill(::getpid(), SIGKILL);
}

std::string line_after(const std::string& text, const std::string& word) {
    const std::size_t at = text.find(word + " ");
    const std::size_t begin = at == std::string::npos ? text.size() : at + word.size() + 1;
    return text.substr(begin, text.find('\n', begin) - begin);
}

TEST(Scratch, a_killed_test_leaves_neither_replicas_nor_files) {
    const Ran ran = run({fs::read_symlink("/proc/self/exe").string(), "--gtest_also_run_disabled_tests",
                         "--gtest_filter=Scratch.DISABLED_is_killed_while_replicas_run"});
    ASSERT_EQ(ran.exit, 128 + SIGKILL) << ran.out << ran.error;
    const fs::path folder = line_after(ran.out, "folder");
    std::istringstream pids(line_after(ran.out, "pids"));
    int count = 0;
    for (std::string pid; pids >> pid; ++count) {
        EXPECT_TRUE(eventually([&] { return !fs::exists("/proc/" + pid); })) << pid;
    }
    EXPECT_EQ(count, 5) << ran.out;
    EXPECT_NE(folder, scratch_folder());
    EXPECT_TRUE(eventually([&] { return !fs::exists(folder); })) << folder;
}

}  // namespace
}  // namespace loyal::system_test

// `loyal shell`, typed into a terminal and fed from a file; and what a person sees on a terminal at all.
#include <signal.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/system/cluster.h"
#include "tests/system/terminal.h"

namespace loyal::system_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string program() {
    return (program_folder() / "loyal").string();
}

// A shell on a terminal, with a history of its own.
class ShellTest : public ::testing::Test {
 protected:
    std::unique_ptr<Terminal> open_shell() {
        auto terminal = on_terminal({"shell"});
        EXPECT_TRUE(terminal->shows("default@cluster> ")) << terminal->screen();
        return terminal;
    }
    std::unique_ptr<Terminal> on_terminal(const std::vector<std::string>& words) {
        std::vector<std::string> command = {program(), "--cluster", cluster_.folder().string()};
        command.insert(command.end(), words.begin(), words.end());
        return std::make_unique<Terminal>(
            command, std::map<std::string, std::string>{{"XDG_STATE_HOME", cluster_.path("state")}});
    }

    ClusterOfProcesses cluster_;
};

TEST_F(ShellTest, commands_are_typed_completed_and_remembered) {
    cluster_.up();
    {
        const auto shell = open_shell();
        // Keys wait for the prompt: what comes earlier is the running command's.
        const auto answers = [&](const std::string& keys, const std::string& answer) {
            shell->type(keys);
            EXPECT_TRUE(shell->shows(answer)) << keys << "\n" << shell->screen();
            EXPECT_TRUE(shell->shows("default@cluster> ")) << shell->screen();
        };
        answers("put greeting 'hello there'\r", "OK\r\n");
        answers("get gre\t\r", "hello there\r\n");
        answers("get nothing\r", "loyal: key not found");  // an error does not end it
        answers("put 'open\r", "not closed");
        answers("shell\r", "this is the shell already");
        answers("help cas\r", "Compare and set");
        answers("a line that is given up\x03", "^C");
        answers("get greeting\r", "hello there\r\n");
        shell->type("\x04");
        EXPECT_EQ(shell->finish(), 0) << shell->screen();
    }
    struct stat status {};
    ASSERT_EQ(::stat((cluster_.path("state") + "/loyal/history").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    const auto later = open_shell();
    later->type("\x1b[A\r");  // the line before
    EXPECT_TRUE(later->shows("hello there\r\n")) << later->screen();
}

TEST_F(ShellTest, an_interrupt_ends_the_command_and_not_the_shell) {
    cluster_.up();
    const auto shell = open_shell();
    const std::vector<pid_t> stopped = {cluster_.pid_of(1), cluster_.pid_of(2)};
    for (const pid_t pid : stopped) {
        ::kill(pid, SIGSTOP);
    }
    shell->type("put k v --timeout 10m\r");
    ASSERT_TRUE(shell->shows("put k v --timeout 10m\r\n"));
    // The signal counts from when the command runs; before that the key gives the line up, which shows the same.
    EXPECT_FALSE(shell->shows("loyal", std::chrono::seconds(1)));
    shell->type("\x03");
    ASSERT_TRUE(shell->shows("the client was closed")) << shell->screen();
    ASSERT_TRUE(shell->shows("default@cluster> "));
    for (const pid_t pid : stopped) {
        ::kill(pid, SIGCONT);
    }
    shell->type("put k w\r");
    EXPECT_TRUE(shell->shows("OK\r\n", std::chrono::seconds(60))) << shell->screen();
    EXPECT_TRUE(shell->shows("default@cluster> "));
    shell->type("exit\r");
    EXPECT_EQ(shell->finish(), 0);
}

TEST_F(ShellTest, a_script_prints_outputs_alone_and_ends_with_its_first_failure) {
    cluster_.up();
    const Ran ran = cluster_.loyal({"shell"},
                                   "# a script\n"
                                   "put a 1\n"
                                   "loyal get missing\n"
                                   "put b 'two words'\n"
                                   "cas b x\n"
                                   "put c -\n"
                                   "get --prefix ''\n"
                                   "exit\n"
                                   "put never v\n");
    EXPECT_EQ(ran.exit, 1) << ran.error;
    EXPECT_EQ(ran.out, "OK\nOK\na\t1\nb\ttwo words\n");
    EXPECT_THAT(ran.error, HasSubstr("loyal: line 3: key not found"));
    EXPECT_THAT(ran.error, HasSubstr("loyal: line 5: "));
    EXPECT_THAT(ran.error, HasSubstr("line 6: standard input is what this shell reads"));
    EXPECT_EQ(cluster_.get("never"), "<1>");
    EXPECT_EQ(cluster_.loyal({"shell"}, "put d $'\\x00\\xff'\n").exit, 0);
    EXPECT_EQ(cluster_.loyal({"get", "--hex", "64"}).out, "00ff\n");
    EXPECT_EQ(cluster_.loyal({"shell", "--as", "nobody"}, "get a\nget a --as default\n").exit, 2);
}

TEST_F(ShellTest, what_was_stored_does_not_drive_a_terminal) {
    cluster_.up();
    const std::string hostile =
        "a\x1b[2J\x1b]0;owned\x07\xff\xe2\x80\xae"
        "b";
    ASSERT_EQ(cluster_.loyal({"put", "k\x1b[31m", "-"}, hostile).exit, 0);
    EXPECT_EQ(cluster_.loyal({"get", "k\x1b[31m"}).out, hostile) << "byte for byte where it is no terminal";
    for (const std::vector<std::string>& words : {std::vector<std::string>{"get", "k\x1b[31m"},
                                                  {"get", "--prefix", "k"},
                                                  {"get", "--prefix", "k", "-w", "table"},
                                                  {"get", "--prefix", "k", "-w", "json"},
                                                  {"export"},
                                                  {"get", "no such \x1b[31m", "--frob\x1b[31m"}}) {
        const auto terminal = on_terminal(words);
        (void)terminal->finish();
        EXPECT_THAT(terminal->screen(), Not(HasSubstr("\x1b"))) << terminal->screen();
        EXPECT_THAT(terminal->screen(), Not(HasSubstr("\xff")));
        EXPECT_FALSE(terminal->screen().empty());
    }
}

}  // namespace
}  // namespace loyal::system_test

#include "tests/system/scratch.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

namespace loyal::system_test {

namespace fs = std::filesystem;

namespace {

// Waits for the end of its input, which is the end of the test program, however that comes. A recycled pid is told by
// its command line, which has to name the folder.
constexpr const char* watch_script = R"(read -r _
find "$1" -path '*/run/*.pid' 2> /dev/null | while read -r file; do
    pid=$(cat "$file")
    grep -qsF -- "$1" "/proc/$pid/cmdline" && kill -9 "$pid"
done
rm -rf -- "$1")";

// Nobody's child and in a session of its own: who ends the test with all its children must not end this.
void watch_over(const fs::path& folder, int end_of_program) {
    const std::string path = folder.string();
    const char* const words[] = {"sh", "-c", watch_script, "sh", path.c_str(), nullptr};
    const int nothing = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    const pid_t child = ::fork();
    if (child < 0) {
        throw std::runtime_error("cannot fork");
    }
    if (child == 0) {
        if (::fork() == 0) {
            ::setsid();
            ::dup2(end_of_program, STDIN_FILENO);
            ::dup2(nothing, STDOUT_FILENO);
            ::dup2(nothing, STDERR_FILENO);
            ::execv("/bin/sh", const_cast<char* const*>(words));
        }
        ::_exit(0);
    }
    ::close(nothing);
    int status = 0;
    ::waitpid(child, &status, 0);
}

fs::path make_scratch() {
    std::string pattern = (fs::temp_directory_path() / "loyal-system-XXXXXX").string();
    int ends[2] = {-1, -1};
    if (::mkdtemp(pattern.data()) == nullptr || ::pipe2(ends, O_CLOEXEC) != 0) {
        throw std::runtime_error("no scratch folder can be made");
    }
    watch_over(pattern, ends[0]);
    ::close(ends[0]);
    return pattern;  // ends[1] is closed by the kernel, with this program
}

}  // namespace

const fs::path& scratch_folder() {
    static const fs::path folder = make_scratch();
    return folder;
}

}  // namespace loyal::system_test

#include "tests/durability/switch_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <stdexcept>

namespace loyal::durability {

SwitchFile::SwitchFile(std::filesystem::path path) : path_(std::move(path)) {
    const int file = ::open(path_.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0 || ::ftruncate(file, sizeof(KillSwitch)) != 0) {
        throw std::runtime_error("cannot make " + path_.string());
    }
    memory_ = ::mmap(nullptr, sizeof(KillSwitch), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    if (memory_ == MAP_FAILED) {
        throw std::runtime_error("cannot map " + path_.string());
    }
    new (memory_) KillSwitch;
}

SwitchFile::~SwitchFile() {
    ::munmap(memory_, sizeof(KillSwitch));
}

void SwitchFile::arm(std::uint64_t n, KillHow how, FileCall only) const {
    KillSwitch& shared = get();
    shared.at = 0;
    shared.hit = 0;
    shared.syncs_after_hit = 0;
    shared.how = how;
    shared.only = only;
    shared.at = (only == file_calls ? shared.calls : shared.by_call[only]) + n;
}

Environment SwitchFile::environment() const {
    return {{"LD_PRELOAD", (system_test::program_folder() / "loyal_kill_switch.so").string()},
            {kill_switch_variable, path_.string()}};
}

}  // namespace loyal::durability

#include "replica/experiments/lasting_fault.h"

#include <algorithm>
#include <system_error>

#include "config/bytes.h"
#include "config/files.h"
#include "config/limits.h"

namespace loyal::replica {
namespace {

constexpr const char* file_name = "fault";

}  // namespace

bool outlives_process(const FaultSpec& fault) {
    return std::any_of(fault.behaviours.begin(), fault.behaviours.end(),
                       [](const BehaviourSpec& each) { return each.name == "amnesia"; });
}

Result<void> keep_fault(const std::filesystem::path& data, const FaultSpec& fault) {
    const std::filesystem::path path = data / file_name;
    std::error_code error;
    const bool removed = std::filesystem::remove(path, error);
    if (error) {
        return fail(Errc::io, "cannot remove " + path.string() + ": " + error.message());
    }
    if (!outlives_process(fault)) {
        return removed ? sync_folder(data) : Result<void>();
    }
    const std::string line = to_string(fault);
    return write_new_file(path, view_of(line), 0600);
}

Result<std::string> kept_fault(const std::filesystem::path& data) {
    Bytes buffer(limits::control_command_bytes_max);
    const auto size = read_file(data / file_name, buffer, Secrecy::open_to_all);
    if (!size) {
        return size.error().code == Errc::not_found ? Result<std::string>(std::string())
                                                    : Result<std::string>(tl::unexpected(size.error()));
    }
    const std::string line = string_of(ByteView(buffer).first(*size));
    if (const auto spec = parse_fault(line); !spec) {
        return fail(Errc::corrupted, (data / file_name).string() + ": " + spec.error().message +
                                         "; remove the file to start without a fault");
    }
    return line;
}

}  // namespace loyal::replica

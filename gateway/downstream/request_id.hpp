// What a call is known by: 128 random bits, or the client's own UUID.
#pragma once

#include <string>
#include <string_view>

namespace gateway {

// 32 hexadecimal digits.
std::string random_id();

// The client's X-Request-Id when it is a UUID (8-4-4-4-12 hexadecimal digits), else a random one.
std::string request_id(std::string_view clients_own);

}  // namespace gateway
